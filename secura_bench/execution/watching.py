"""A process that is watched: what it writes, how long it takes, how much it and its children hold in memory."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Stopped = Literal["timed_out", "memory", "output"]

_TURN = 0.05  # seconds between two looks at what the processes hold


@dataclass(frozen=True)
class Watched:
    """What a process wrote to standard output and standard error, and what it was ended for, None where it was not."""

    out: bytes
    errors: bytes
    stopped: Stopped | None


def watch(process: subprocess.Popen[bytes], seconds: float, memory: int, output: int) -> Watched:
    """Return what a process, started with pipes, does until it closes them; end it where it goes over a limit.

    ``memory`` is in bytes, held by it and all its descendants together, ``output`` those of both streams.
    """
    began = looked = time.monotonic()
    out, errors = bytearray(), bytearray()
    stopped: Stopped | None = None
    with selectors.DefaultSelector() as selector, ExitStack() as ending:
        ending.callback(process.kill)  # with bubblewrap goes the first process within, and with it all others
        for stream, written in ((process.stdout, out), (process.stderr, errors)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, written)
        while selector.get_map() and stopped is None:
            for key, _ in selector.select(_TURN):
                if chunk := os.read(key.fd, 1 << 16):
                    key.data.extend(chunk)
                else:
                    selector.unregister(key.fileobj)
            now = time.monotonic()
            if len(out) + len(errors) > output:
                stopped = "output"
            elif now - began > seconds:
                stopped = "timed_out"
            elif now - looked > _TURN:
                looked = now
                stopped = "memory" if _resident(process.pid) > memory else None
        if stopped is None:
            ending.pop_all()
    return Watched(bytes(out), bytes(errors[:output]), stopped)


def _resident(pid: int) -> int:
    """Return the bytes that a process and its descendants hold in memory; what they share counts for each."""
    held, waiting = 0, [pid]
    while waiting:
        place = Path("/proc") / str(waiting.pop())
        try:
            held += int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for thread in (place / "task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        except (OSError, IndexError, ValueError):  # it ended meanwhile
            continue
    return held
