"""The time left of a process beside others: without the runs that these do or have done."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from secura_bench.results.folder import RECORD, RunFolder
from secura_bench.results.lock import RunLock
from secura_bench.runs.elsewhere import Elsewhere
from secura_bench.runs.progress.person import Reporter


def runs_in(results: Path) -> dict[str, Any]:
    """Return four runs, by name: mine, one that another holds, one that another ended, one that nobody began."""
    for name in ("mine", "held", "ended", "open"):
        (results / name).mkdir()
    (results / "ended" / RECORD).write_text("{}")
    return {name: SimpleNamespace(folder=Path(name)) for name in ("mine", "held", "ended", "open")}


def test_runs_that_others_hold_or_have_ended_are_none_of_this_process(tmp_path: Path) -> None:
    runs = runs_in(tmp_path)
    units = {"mine": 1.0, "held": 10.0, "ended": 100.0, "open": 1000.0}
    locks = [RunLock(RunFolder(tmp_path / name)) for name in ("mine", "held")]
    for lock in locks:
        lock.acquire()
    try:
        elsewhere = Elsewhere(tmp_path, runs, units, here={"mine"})
        assert elsewhere() == 110
        elsewhere.here.add("held")  # the other let go of it, and it was taken up here
        assert elsewhere() == 100
        assert Elsewhere(tmp_path, runs, units, anew=True, here={"mine"})() == 10, "its record is moved aside"
    finally:
        for lock in locks:
            lock.release()


def test_the_time_left_is_of_what_is_left_to_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of its own 40 units took 20 seconds, and so the rest takes as long; with the other's 60 it would be 80."""
    now = [0.0]
    monkeypatch.setattr("secura_bench.runs.progress.person.time.monotonic", lambda: now[0])
    others = [0.0]
    with Reporter(100, 2, io.StringIO(), elsewhere=lambda: others[0]) as reporter:
        reporter.start_run("one-0", "one", 40)
        reporter._done, now[0] = 20.0, 20.0
        assert reporter.time_left() == "1:20 min left"
        others[0], now[0] = 60.0, 20.0 + reporter.every
        reporter._done = 30.0
        assert reporter.time_left() == "10 s left"
