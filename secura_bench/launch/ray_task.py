"""What Ray does on a node: the command of one run, whose events are passed on as they come."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

_EVERY = 0.5  # seconds between two batches of events, and until an interruption is noticed
_LAST_WORDS = 2000  # characters


@dataclass(frozen=True)
class Ended:
    """How a run's command ended: its exit status, and what it said last."""

    status: int
    said: str


def do_command(words: Sequence[str], folder: str, processes: int) -> Iterator[list[str] | Ended]:
    """Give ``secura-bench`` with ``words`` in ``folder``, to so many ``processes`` of one run.

    Yields the lines of its output, and last how it ended. When this is interrupted, as ``ray.cancel`` does, or ends
    with its process, the command is asked to stop; an interrupted one is waited for.
    """
    with tempfile.TemporaryFile("w+") as errors:
        port = _free_port() if processes > 1 else 0
        group = [
            subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "secura_bench.cli.leashed", *words],
                cwd=folder,
                env=os.environ | rank_of(rank, processes, port),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
                stderr=errors,
                text=True,
            )
            for rank in range(processes)
        ]
        try:
            yield from _batches(group)
            codes = [each.wait() for each in group]
        finally:
            for each in group:
                if each.stdin is not None:
                    each.stdin.close()
            for each in group:
                each.wait()
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LAST_WORDS))
        yield Ended(max(codes) or min(codes), errors.read().strip())


def rank_of(rank: int, processes: int, port: int) -> dict[str, str]:
    """Return what ``torchrun`` would put into the environment of one of several processes; nothing for one alone."""
    if processes == 1:
        return {}
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _batches(group: Sequence[subprocess.Popen[str]]) -> Iterator[list[str]]:
    """Yield the first process's lines until its output ends; a process that fails takes the others with it."""
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(group[0].stdout, lines), daemon=True).start()
    more = True
    while more:
        batch, ends = list[str](), time.monotonic() + _EVERY
        while more and (left := ends - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=left)
                more = line is not None
                batch += [line] if line is not None else []
        if batch:
            yield batch
        if any(each.poll() for each in group[1:]):  # whom the first would wait for
            for each in group:
                each.kill()


def _read(output: IO[str] | None, lines: queue.Queue[str | None]) -> None:
    for line in output or ():
        lines.put(line)
    lines.put(None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
