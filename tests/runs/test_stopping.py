"""A signal is acknowledged at once, whatever the main thread is in the middle of."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time

import pytest

from secura_bench.runs.stopping import Stop, Stopped


@pytest.fixture(autouse=True)
def _heard() -> None:
    """Heed SIGINT, which a shell lets the commands that it starts in the background ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ask(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def test_the_first_signal_is_told_of_and_no_other() -> None:
    told: list[str] = []
    with Stop(told.append) as stop:
        ask(signal.SIGINT, signal.SIGTERM)
        with pytest.raises(Stopped):
            stop.check()
    assert told == ["stopping after this batch; again to stop now"]


def test_of_sigterm_nothing_more_is_asked() -> None:
    told: list[str] = []
    with Stop(told.append):
        ask(signal.SIGTERM)
    assert told == ["stopping after this batch"]


def test_signals_of_others_are_not_told_of() -> None:
    told: list[str] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with Stop(told.append) as stop:
            ask(signal.SIGUSR1)
            stop.check()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert told == []


def test_it_is_told_while_the_main_thread_computes() -> None:
    told: list[float] = []
    with Stop(lambda _: told.append(time.perf_counter())):
        threading.Timer(0.05, lambda: ask(signal.SIGINT)).start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 4_000_000)  # one operation; no handler runs before its end
        ended = time.perf_counter()
    assert told[0] < ended


def test_what_was_there_before_is_put_back() -> None:
    handlers, threads = signal.getsignal(signal.SIGINT), threading.active_count()
    with Stop(lambda _: None):
        pass
    assert (signal.getsignal(signal.SIGINT), signal.set_wakeup_fd(-1)) == (handlers, -1)
    assert threading.active_count() == threads
