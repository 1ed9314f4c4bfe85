"""Which runs a command does: those that were asked for, less those that are finished."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from secura_bench.foundation.errors import RecordError, SpecError, unknown_name
from secura_bench.foundation.files import to_json, write_atomically
from secura_bench.plan.make import Plan
from secura_bench.plan.phases import work_units
from secura_bench.plan.run import Run
from secura_bench.results.folder import RECORD, RunFolder
from secura_bench.results.lock import Held, RunLock, note_of
from secura_bench.results.read import read_record
from secura_bench.results.record import MethodNote, RunRecord
from secura_bench.runs.outcome import Outcome


def chosen_runs(runs: Sequence[Run], only: Sequence[str]) -> list[Run]:
    """Return the runs that ``only`` names, all without it.

    Raises:
        SpecError: A part that is in no run's name, or in several.
    """
    if not only:
        return list(runs)
    chosen: list[Run] = []
    for wanted in only:
        exact = [run for run in runs if wanted in (run.folder.as_posix(), run.folder.name, run.name, run.address)]
        found = exact or [
            run for run in runs if wanted in (run.folder.as_posix() if "/" in wanted else run.folder.name)
        ]
        if not found:
            raise SpecError(f"--only {wanted}: {unknown_name('run', wanted, [run.name for run in runs])}")
        if len(found) > 1:
            folders = " and ".join(run.folder.as_posix() for run in found)
            raise SpecError(f"--only {wanted}: is part of {folders}; write more of it.")
        chosen += found
    return [run for run in runs if run in chosen]


def missing_runs(
    runs: Sequence[Run], results: Path, force: bool, outcome: Outcome, say: Callable[[str], None]
) -> list[int]:
    """Return the positions of the runs that must be done, and write into ``outcome`` how the others ended."""
    missing = []
    for position, run in enumerate(runs):
        folder = RunFolder(results / run.folder)
        if force or not folder.finished:
            missing.append(position)
            continue
        try:
            record = read_record(folder.path / RECORD)
        except RecordError as error:
            outcome.failed[run.name] = f"{error} --force moves the run's folder aside and does it anew."
            say(outcome.failed[run.name])
            continue
        outcome.skipped.append(run.name)
        record = _told_anew(run, folder, record)
        if record.status == "diverged":
            outcome.diverged.append(run.name)
        counts = record.parameters
        wanted = run.spec.keeps(counts.get("trainable") or 0, counts.get("total") or 0)
        if wanted and record.status == "done" and run.build().trains and not folder.trained_file.exists():
            say(f"{run.name}: was finished without keeping its trained result; --force does it anew and keeps it")
        if run.spec.log.weight_norms and run.loads is None and record.weight_norms is None:
            say(f"{run.name}: was finished without recording its weight norms; --force does it anew and records them")
        if folder.checkpoint.exists() or note_of(folder).exists():  # killed between the record and the tidying up
            lock = RunLock(folder)
            with contextlib.suppress(Held):
                lock.acquire()
                folder.tidy()
            lock.release()
    return missing


def _told_anew(run: Run, folder: RunFolder, record: RunRecord) -> RunRecord:
    """Return a finished run's record, with how its settings are chosen now: by other trials, or by any at all.

    It is no number of the run's, and the ledger of what tuning took must not be that of a smaller grid.
    """
    if run.method.tuned is None or record.method.get("tuned") == run.method.tuned.told:
        return record
    method: MethodNote = {**record.method, "tuned": run.method.tuned.told}
    record = record.model_copy(update={"method": method})
    folder.finish(record)
    return record


def note_plan(plan: Plan, results: Path) -> None:
    """Write down which runs the spec stands for, so that ``status`` knows what is missing."""
    runs = [
        {"name": run.name, "folder": run.folder.name, "units": work_units(run, plan.inputs_of(run))}
        for run in plan.runs
    ]
    text = to_json({"experiment": plan.spec.experiment, "runs": runs})
    folder = results / plan.spec.experiment
    path = folder / f"plan-{hashlib.sha256(text.encode()).hexdigest()[:10]}.json"
    if not path.exists():
        (folder / ".locks").mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".locks" / "plan.lock"):
            write_atomically(path, text)
