"""Paths from the user's own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from secura_bench.foundation.home import from_home, without_home


@pytest.mark.parametrize(
    ("home", "name", "written"),
    [
        ("/home/me", "/home/me/models/x", "~/models/x"),
        ("/home/me", "/home/member/x", "/home/member/x"),  # a longer name that begins alike
        ("/home/me", "/data/home/me/x", "/data/home/me/x"),
        ("/", "/models/x", "/models/x"),  # a container's home: "~models/x" would be another user's folder
        ("/home/me", "org/model", "org/model"),
        ("/home/me", "tiny", "tiny"),
    ],
)
def test_only_a_path_below_home_is_written_from_it(monkeypatch, home: str, name: str, written: str) -> None:
    monkeypatch.setenv("HOME", home)
    assert without_home(name) == written
    assert from_home(written) == Path(name)


def test_nobodys_home_is_a_name_like_others() -> None:
    assert from_home("~nosuchuser/x") == Path("~nosuchuser/x")
