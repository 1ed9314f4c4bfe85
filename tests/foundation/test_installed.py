"""What is installed, on machines that cannot say."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from secura_bench.foundation import installed


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    installed.commit.cache_clear()
    yield
    installed.commit.cache_clear()


def test_a_checkout_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*words: object, **options: object) -> NoReturn:
        raise FileNotFoundError("git")

    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(installed, "PACKAGE", tmp_path / "secura_bench")
    monkeypatch.setattr(subprocess, "run", missing)
    assert installed.commit() is None


def test_a_repository_without_commits_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()  # git cannot read it
    monkeypatch.setattr(installed, "PACKAGE", tmp_path / "secura_bench")
    assert installed.commit() is None


def test_a_wheel_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "PACKAGE", tmp_path / "secura_bench")
    assert installed.commit() is None


def test_what_is_not_installed_has_no_version() -> None:
    assert installed.versions(["no-such-distribution"]) == {"no-such-distribution": None}
