"""Where an experiment stands, from files alone. No model and no data are read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from secura_bench.foundation.errors import RecordError
from secura_bench.foundation.regular import read_regular
from secura_bench.results.folder import RECORD, RunFolder
from secura_bench.results.lock import Holder, note_of, read_holder
from secura_bench.results.read import find_records, no_folder, read_record
from secura_bench.results.record import Real

State = Literal["done", "diverged", "running", "stopped", "failed", "damaged", "missing"]


_LARGEST_NOTE = 1 << 26  # bytes


class NotedRun(BaseModel):
    """A run that a plan stands for: its folder beside the plan's file, and the work it is."""

    name: str
    folder: Annotated[str, StringConstraints(pattern=r"^[^/\\]+$")]
    units: Annotated[Real, Field(ge=0)]


class PlanNote(BaseModel):
    """The file that a command leaves of its plan."""

    runs: tuple[NotedRun, ...]


class FailureNote(BaseModel):
    """The file that a failed run leaves."""

    reason: str
    advice: str


@dataclass(frozen=True)
class RunStatus:
    """Where one run stands. ``detail``: where it runs and how far it is, or why it failed. ``units`` are left to do."""

    experiment: str
    name: str
    state: State
    detail: str
    units: float
    holder: Holder | None = None


def read_status(results: Path) -> list[RunStatus]:
    """Return where every run below ``results`` stands: those that are planned, begun or done.

    ``results`` may be an experiment's folder, or a run's.

    Raises:
        RecordError: There is no such folder.
    """
    if not results.is_dir():
        raise no_folder(results)
    if results.name in ("", ".."):  # no experiment's name could be read from it
        results = results.resolve()
    found: dict[Path, RunStatus] = {}
    for folder, units in (*_planned(results), *_begun(results)):
        found.setdefault(folder, _status(RunFolder(folder), units))
    return sorted(found.values(), key=lambda run: run.experiment)


def unfinished(results: Path) -> list[RunStatus]:
    """Return the runs below ``results`` that were begun and have no record: at work, stopped or failed."""
    folders = (RunFolder(folder) for folder, _ in _begun(results) if not (folder / RECORD).exists())
    found = {folder.path: _status(folder, 0.0) for folder in folders}
    return [run for run in found.values() if run.state != "missing"]


def seconds_left(runs: list[RunStatus]) -> float | None:
    """Return the seconds until everything is done, at the pace of the processes at work. None without a pace."""
    now, pace = time.time(), 0.0
    for run in runs:
        if run.holder is not None and run.holder.units > run.holder.before:
            pace += (run.holder.units - run.holder.before) / max(1.0, now - run.holder.started)
    return sum(run.units for run in runs) / pace if pace else None


def _planned(results: Path) -> Iterator[tuple[Path, float]]:
    """Yield the run folders that the plans name, there or not, and their units."""
    for file in sorted(results.rglob("plan-*.json")):
        try:
            plan = PlanNote.model_validate_json(read_regular(file, _LARGEST_NOTE))
        except (OSError, ValueError):
            continue  # it says what is missing, and who reads it may look for that elsewhere
        yield from ((file.parent / run.folder, run.units) for run in plan.runs)


def _begun(results: Path) -> Iterator[tuple[Path, float]]:
    """Yield the run folders that are there: begun by a command, or records alone, as a repository keeps them."""
    for file in sorted(results.rglob("manifest.json")):
        if ".replaced-" not in file.parent.name:
            yield file.parent, 0.0
    for file in find_records(results, lambda error: None):
        yield file.parent, 0.0


def _status(folder: RunFolder, units: float) -> RunStatus:
    def status(state: State, detail: str = "", left: float = 0.0, holder: Holder | None = None) -> RunStatus:
        return RunStatus(folder.path.parent.name, folder.path.name, state, detail, left, holder)

    if (folder.path / RECORD).exists():
        try:
            record = read_record(folder.path / RECORD)
        except RecordError as error:
            return status("damaged", str(error), units)
        where = record.diverged_at
        return status(record.status, f"at {where['task']} step {where['step']}" if where else "")
    holder = read_holder(note_of(folder))
    if holder is not None and holder.alive:
        share = f"  {100 * holder.units / holder.total:.0f} %" if holder.total else ""
        return status("running", f"{holder.place}: {holder.activity}{share}", max(0.0, units - holder.units), holder)
    if folder.failure.exists():
        try:
            failure = FailureNote.model_validate_json(read_regular(folder.failure, _LARGEST_NOTE))
        except (OSError, ValueError):
            return status("failed", "for a reason that cannot be read", units)
        return status("failed", f"{failure.reason} {failure.advice}".strip(), units)
    if folder.checkpoint.exists():
        last = f"last seen with {holder.place}" if holder else ""
        return status("stopped", last or "goes on from its checkpoint", units)
    return status("missing", "", units)
