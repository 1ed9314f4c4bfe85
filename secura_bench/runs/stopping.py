"""Stopping on a signal: what is under way is finished and saved, and the same command goes on later."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Stopped(Exception):  # noqa: N818 - an outcome, not a fault
    """The run was asked to stop; its state is on the disk. ``signal`` is the number of the signal that asked."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class Stop:
    """Whether someone asked to stop.

    Within this context SIGINT and SIGTERM only leave a note, which the run reads after each step and each scored
    batch. A second SIGINT stops at once, with ``KeyboardInterrupt``. Signals reach a process's main thread alone, so
    elsewhere nobody is listened to.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def check(self) -> None:
        """Leave, if someone asked.

        Raises:
            Stopped: Someone did.
        """
        if self.signal is not None:
            raise Stopped(self.signal)
