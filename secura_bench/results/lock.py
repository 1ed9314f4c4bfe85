"""Who does which run: the operating system holds a lock for each run, and a note beside it names the process.

Some network file systems grant a lock to everyone who asks. So the note is a claim as well: one process alone can
create it, and it is touched as long as that process lives.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import Field, TypeAdapter

from secura_bench.foundation.regular import read_regular
from secura_bench.results.folder import RunFolder
from secura_bench.results.record import Real

_LARGEST_NOTE = 1 << 16  # bytes
_TRIES = 5  # to create a note that others bury and create meanwhile

BEAT = 30.0
"""Seconds between two signs of life."""

SILENT_AFTER = 300.0
"""Seconds without a sign of life after which a process on another machine is taken to be gone."""


class Held(Exception):  # noqa: N818 - an outcome, not a fault
    """Another process does this run. ``holder`` is what it says of itself, None if it says nothing."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.holder = holder


_Seconds = Annotated[float, Field(ge=0, lt=1e11)]


@dataclass(frozen=True)
class Holder:
    """The process that does a run, and how far it is.

    ``started`` and ``updated`` are seconds since 1970. ``units`` of ``total`` are done, of which ``before`` by an
    earlier process. ``activity`` is what it does now, in words.
    """

    host: str
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    started: _Seconds
    updated: _Seconds
    activity: str = ""
    task: str | None = None
    step: int = 0
    steps: int = 0
    units: Real = 0.0
    total: Real = 0.0
    before: Real = 0.0

    @property
    def place(self) -> str:
        """Host, process and since when, as a person says it."""
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.started))
        return f"process {self.pid} on {self.host} (since {since})"

    @property
    def alive(self) -> bool:
        """Whether the process is there. On another machine, its latest sign of life tells."""
        if self.host != socket.gethostname():
            return time.time() - self.updated < SILENT_AFTER
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True


_HOLDER = TypeAdapter(Holder)


class RunLock:
    """The lock of one run. Its file stays: removing it would let two processes hold two of them.

    The note beside it goes when the lock is released; after a SIGKILL it names a process that is gone.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._lock = FileLock(folder.lock)
        self._note = note_of(folder)
        self._holder = Holder(socket.gethostname(), os.getpid(), time.time(), time.time())
        self._said = 0.0
        self._writing = threading.Lock()
        self._released = threading.Event()
        self._beating: threading.Thread | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            Held: Another process has it.
        """
        self._note.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise Held(read_holder(self._note)) from None
        if not self._claim():
            self._lock.release()
            raise Held(read_holder(self._note))
        self.say({}, now=True)
        self._released.clear()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def release(self) -> None:
        """Give the lock back, if this process has it."""
        if self._lock.is_locked:
            self._released.set()
            if self._beating is not None:
                self._beating.join()
            self._note.unlink(missing_ok=True)
            self._lock.release()

    def say(self, changes: Mapping[str, Any], now: bool = False) -> None:
        """Write down how far the run is; at most every two seconds, unless ``now``."""
        with self._writing:
            self._holder = replace(self._holder, **changes, updated=time.time())
            if now or time.monotonic() - self._said >= 2:
                self._said = time.monotonic()
                beside = self._note.with_name(f".{self._note.name}")  # one writer, so one name: nothing is left over
                beside.write_text(json.dumps(asdict(self._holder)), encoding="utf-8")
                beside.replace(self._note)

    def _claim(self) -> bool:
        """Create the note, or take the place of a process that is gone; return False if it lives."""
        for _ in range(_TRIES):
            try:
                os.close(os.open(self._note, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                return True
            except FileExistsError:
                if self._lives(self._note):
                    return False
                self._bury()
        return False

    def _lives(self, note: Path) -> bool:
        """Return whether whoever wrote a note is there. Its age is told by the file system's clock, not by hosts'."""
        try:
            written = note.stat().st_mtime
            os.utime(self._lock.lock_file)
            age = Path(self._lock.lock_file).stat().st_mtime - written
        except FileNotFoundError:
            return False
        holder = read_holder(note)
        if holder is not None and holder.host == self._holder.host:
            return holder.pid != self._holder.pid and holder.alive and age < SILENT_AFTER
        return age < SILENT_AFTER

    def _bury(self) -> None:
        """Move the note of a process that is gone out of the way; put it back if another was quicker and lives."""
        aside = self._note.with_name(f".{self._note.name}.{self._holder.host}.{self._holder.pid}")
        try:
            self._note.rename(aside)
        except FileNotFoundError:
            return
        if self._lives(aside):
            with contextlib.suppress(OSError):
                os.link(aside, self._note)
        aside.unlink(missing_ok=True)

    def _beat(self) -> None:
        """Give a sign of life until the lock is released; end the process if another has taken its place.

        That can be where the file system's locks lock nothing, and this process was stopped for long: it must write
        nothing more.
        """
        while not self._released.wait(BEAT):
            holder = read_holder(self._note)
            if holder is not None and (holder.host, holder.pid) != (self._holder.host, self._holder.pid):
                sys.stderr.write(f"secura-bench: {holder.place} took over a run while this process was stopped\n")
                sys.stderr.flush()
                os._exit(3)
            self.say({}, now=True)


def note_of(folder: RunFolder) -> Path:
    """Return the file in which the holder of a run's lock says who it is."""
    return folder.lock.with_suffix(".json")


def read_holder(note: Path) -> Holder | None:
    """Return what a note says, None where there is none that can be read."""
    try:
        return _HOLDER.validate_json(read_regular(note, _LARGEST_NOTE))
    except (OSError, ValueError):
        return None
