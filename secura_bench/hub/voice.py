"""What is said while the Hub is asked and fetched from, on stderr: bars on a terminal, else a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from secura_bench.foundation.wording import duration

EVERY = 10.0  # seconds between two lines
SMALL = 100_000  # bytes that come in a moment, and are shown if they do not

_HUSHED = ContextVar("hushed", default=False)


@contextmanager
def hushed(quiet: bool = True) -> Iterator[None]:
    """Say nothing within this context, if ``quiet``."""
    token = _HUSHED.set(quiet or _HUSHED.get())
    try:
        yield
    finally:
        _HUSHED.reset(token)


def say(line: str) -> None:
    """Write a line, unless hushed; of several processes that do one run, the first speaks."""
    if not _HUSHED.get() and os.environ.get("RANK", "0") == "0":
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def size(count: float) -> str:
    """Return a number of bytes as a person says it, in powers of ten: ``16.1 GB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} bytes"


class Meter:
    """How far something of ``total`` bytes is, as a context: a bar on a terminal, else a line every few seconds."""

    def __init__(self, doing: str, of: str, total: int) -> None:
        self.doing, self.of, self.total = doing, of, total
        self.done = 0
        self._fresh = 0  # what was done here and now, which alone tells the pace
        self._began = self._said = time.monotonic()
        self._close = ExitStack()
        self._bar: Any = None

    def __enter__(self) -> Meter:
        if self.total < SMALL:
            return self
        say(f"{self.doing} {self.of}: {size(self.total)}")
        if sys.stderr.isatty() and not _HUSHED.get():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

            bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                DownloadColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar = (self._close.enter_context(bars), bars.add_task(self.of, total=self.total))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close.close()

    def advance(self, count: int, fresh: bool = True) -> None:
        """Take down that ``count`` bytes more are done; not ``fresh`` are those that an earlier command did.

        What has to be done again counts negative.
        """
        self.done += count
        self._fresh += count if fresh else 0
        if self._bar:
            self._bar[0].update(self._bar[1], completed=self.done)
        elif time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            say(f"{self.of}: {self.state()}")

    def state(self) -> str:
        """Return how far it is: bytes, and the time left once there is a pace."""
        elapsed = time.monotonic() - self._began
        left = self.total - self.done
        pace = f", {duration(elapsed * left / self._fresh)} left" if self._fresh > 0 and left > 0 else ""
        return f"{size(self.done)} of {size(self.total)}{pace}"
