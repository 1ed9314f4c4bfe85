"""One process does a run, where the system's locks hold and where they lock nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secura_bench.results import lock
from secura_bench.results.folder import RunFolder
from secura_bench.results.lock import Held, RunLock, note_of


class LocksNothing:
    """A file lock of a network file system that says yes to everyone."""

    def __init__(self, file: Path) -> None:
        self.lock_file, self.is_locked = str(file), False

    def acquire(self, timeout: float) -> None:
        Path(self.lock_file).touch()
        self.is_locked = True

    def release(self) -> None:
        self.is_locked = False


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> RunFolder:
    monkeypatch.setattr(lock, "FileLock", LocksNothing)
    return RunFolder(tmp_path / "trial" / "run-0")


@pytest.fixture
def on(folder: RunFolder, monkeypatch) -> Callable[[str], RunLock]:
    """Return what makes the lock of the run as a process of a host has it."""

    def make(host: str, pid: int = 0) -> RunLock:
        with monkeypatch.context() as patch:
            patch.setattr("socket.gethostname", lambda: host)
            patch.setattr("os.getpid", lambda: pid or 7)
            return RunLock(folder)

    return make


def test_a_run_of_another_node_is_left_to_it(on: Any) -> None:
    one, two = on("one"), on("two")
    one.acquire()
    with pytest.raises(Held) as held:
        two.acquire()
    assert held.value.holder and held.value.holder.host == "one"
    two.release()  # which is not his
    with pytest.raises(Held):
        two.acquire()
    one.release()
    two.acquire()
    two.release()


def test_of_many_that_ask_at_once_one_gets_it(on: Any) -> None:
    locks, got, ready = [on(f"node{i}", pid=i + 2) for i in range(16)], [], threading.Barrier(16)

    def ask(one: RunLock) -> None:
        ready.wait()
        try:
            one.acquire()
            got.append(one)
        except Held:
            pass

    threads = [threading.Thread(target=ask, args=(one,)) for one in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    got[0].release()


def note(folder: RunFolder, host: str, pid: int, age: float) -> None:
    note_of(folder).parent.mkdir(parents=True, exist_ok=True)
    note_of(folder).write_text(f'{{"host": "{host}", "pid": {pid}, "started": 1, "updated": 1}}')
    os.utime(note_of(folder), (time.time() - age,) * 2)


def test_a_node_that_is_silent_is_overtaken(folder: RunFolder, on: Any) -> None:
    note(folder, "gone", 1, lock.SILENT_AFTER - 30)
    two = on("two")
    with pytest.raises(Held):
        two.acquire()
    note(folder, "gone", 1, lock.SILENT_AFTER + 30)
    two.acquire()
    two.release()
    assert not [*note_of(folder).parent.glob("*.json*"), *note_of(folder).parent.glob(".*json*")]


def test_a_process_of_this_machine_that_is_gone_is_overtaken_at_once(folder: RunFolder, on: Any) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    note(folder, "here", ended.pid, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "here")
        here = RunLock(folder)
        here.acquire()
        here.release()


def test_a_note_that_is_not_written_yet_is_somebodys(folder: RunFolder, on: Any) -> None:
    note_of(folder).parent.mkdir(parents=True)
    note_of(folder).touch()
    with pytest.raises(Held):
        on("two").acquire()


def test_signs_of_life_are_given_until_the_end(folder: RunFolder, on: Any, monkeypatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.01)
    one = on("one")
    one.acquire()
    os.utime(note_of(folder), (0, 0))
    ends = time.monotonic() + 30
    while note_of(folder).stat().st_mtime == 0:
        assert time.monotonic() < ends
        time.sleep(0.01)
    one.release()
    assert not note_of(folder).exists() and not one._beating.is_alive()


def test_who_was_overtaken_ends_without_writing(folder: RunFolder, on: Any, monkeypatch, capsys) -> None:
    ended = threading.Event()
    monkeypatch.setattr(lock, "BEAT", 0.01)
    monkeypatch.setattr(os, "_exit", lambda code: (ended.set(), sys.exit(code)))  # of the thread
    one = on("one")
    one.acquire()
    note(folder, "two", 5, 0)
    before = note_of(folder).read_text()
    assert ended.wait(30) and note_of(folder).read_text() == before
    assert "process 5 on two" in capsys.readouterr().err
