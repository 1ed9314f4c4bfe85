"""What the system refuses is told with its path, the reason and the way out."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import secura_bench

from secura_bench.foundation.refused import in_words


def said(act: Callable[[], object]) -> str:
    with pytest.raises(OSError) as raised:
        act()
    return in_words(raised.value)


def test_a_file_where_a_folder_is_needed_is_named(tmp_path: Path) -> None:
    (file := tmp_path / "notes").write_text("mine")
    told = "is a file, where a folder is needed; name another place."
    assert said(file.mkdir) == f"{file}: {told}"
    for deep in (file / "sub", file / "sub" / "deep"):
        assert said(deep.mkdir) == f"{deep}: {file} {told}"


def test_where_nothing_can_be_made_another_place_is_asked_for(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    told = said(lambda: gone.open())
    assert told.startswith(f"{gone}: No such file or directory. ") and "nothing can be made in" in told


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (errno.EACCES, "have its owner let you"),
        (errno.EROFS, "name another place"),
        (errno.ENOSPC, "make room and give the same command again"),
        (errno.EIO, "Input/output error."),
    ],
)
def test_what_to_do_follows_from_the_reason(number: int, way: str) -> None:
    told = in_words(OSError(number, os.strerror(number), "results/a"))
    assert told.startswith(f"results/a: {os.strerror(number)}") and way in told and told.endswith(".")


def test_an_error_without_a_path_is_its_reason() -> None:
    assert in_words(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert in_words(OSError("odd")) == "odd"


def test_the_command_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    done = secura_bench("init", "notes/spec.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "notes: is a file, where a folder is needed" in done.stderr
    assert "Traceback" not in done.stderr and (tmp_path / "notes").read_text() == "mine"
