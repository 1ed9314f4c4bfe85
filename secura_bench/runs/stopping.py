"""Stopping on a signal: the step is finished and saved, and the same command goes on later."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
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
    elsewhere nobody is listened to. The first is acknowledged through ``tell``, on another thread: a long operation
    holds the main one, and whoever pressed Ctrl-C is not to wonder.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self.signal: int | None = None
        self._tell = tell
        self._before: dict[int, Any] = {}
        self._listening: threading.Thread | None = None

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            if self._tell is not None:
                heard, self._woken = os.pipe()
                os.set_blocking(self._woken, False)  # what set_wakeup_fd asks for
                self._woken_before = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
                self._listening = threading.Thread(target=self._acknowledge, args=(heard, self._tell), daemon=True)
                self._listening.start()
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._listening is not None:
            signal.set_wakeup_fd(self._woken_before)
            os.close(self._woken)  # which ends the thread
            self._listening.join()

    @staticmethod
    def _acknowledge(heard: int, tell: Callable[[str], None]) -> None:
        """Tell of the first signal that asks to stop; the interpreter writes each one's number as it comes."""
        told = False
        with open(heard, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if number[0] in (signal.SIGINT, signal.SIGTERM) and not told:
                    told = True
                    more = "; again to stop now" if number[0] == signal.SIGINT else ""
                    tell(f"stopping after this batch{more}")

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
