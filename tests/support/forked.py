"""Processes of a test's own, forked from one that has the libraries: to import them takes longer than what most do."""

from __future__ import annotations

import gc
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from secura_bench.checking.trial import _processes  # one server for the tests and for what they test


class Forked:
    """A process that calls ``act`` with ``arguments`` in a folder; it has imported the libraries and done nothing."""

    def __init__(self, act: Callable[..., Any], *arguments: Any, cwd: Path, **environment: str) -> None:
        self._said = [tempfile.NamedTemporaryFile() for _ in range(2)]  # noqa: SIM115 - gone with this object
        files = [file.name for file in self._said]
        self._process = _processes().Process(target=_be, args=(act, arguments, cwd, environment, *files))
        self._process.start()

    def end(self, timeout: float = 240) -> tuple[int, str, str]:
        """Wait for its end, or make it after so many seconds; return its exit code, output and errors."""
        self._process.join(timeout)
        self._process.kill()
        self._process.join()
        out, err = (Path(file.name).read_text() for file in self._said)
        return self._process.exitcode, out, err


def _be(act: Callable[..., Any], arguments: Any, cwd: Path, environment: dict[str, str], out: str, err: str) -> None:
    gc.freeze()  # what was imported is not looked through at every collection
    os.chdir(cwd)
    os.environ.update(environment)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    act(*arguments)


def command(*words: str) -> None:
    """Be the command line."""
    from secura_bench.cli.main import main

    sys.argv = ["secura-bench", *words]
    main()


def together(count: int, act: Callable[..., Any], *arguments: Any, cwd: Path) -> list[tuple[int, str, str]]:
    """Have processes that know of each other call ``act``, as torchrun's do; return how each ended."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        world = {"WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    ranks = [
        Forked(act, *arguments, cwd=cwd, **world, RANK=str(rank), LOCAL_RANK=str(rank), OMP_NUM_THREADS="1")
        for rank in range(count)
    ]
    return [rank.end() for rank in ranks]
