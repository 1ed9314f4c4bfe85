"""Executes a plan: only what is missing, one run after another, beside whoever else works on the same results."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import torch
from filelock import FileLock

from secura_bench.foundation.errors import BenchError, RecordError, SpecError, StoppedEarly, unknown_name
from secura_bench.foundation.files import to_json, write_atomically
from secura_bench.foundation.wording import in_a_line
from secura_bench.methods.plugins import plugin_fault
from secura_bench.models.load import fetch_weights
from secura_bench.plan.make import Plan
from secura_bench.plan.phases import work_units
from secura_bench.plan.run import Run
from secura_bench.results.folder import RECORD, RunFolder
from secura_bench.results.lock import Held, RunLock, note_of
from secura_bench.results.read import read_record
from secura_bench.runs.one_run import do_run
from secura_bench.runs.progress import (
    JsonLines,
    LockNoteProgress,
    NoProgress,
    Progress,
    ProgressGroup,
    Reporter,
    Warnings,
    retained,
)
from secura_bench.runs.stopping import Stop, Stopped
from secura_bench.training.memory import release_memory
from secura_bench.training.processes import count, is_main, join, on_main

ProgressMode = Literal["person", "machine", "quiet"]


@dataclass
class Outcome:
    """How a plan's runs ended, by name. ``held``: run and who does it. ``failed``: run and why."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)


def execute(
    plan: Plan,
    results: Path,
    progress: ProgressMode = "person",
    only: Sequence[str] = (),
    force: bool = False,
    report_to: Sequence[str] = (),
) -> Outcome:
    """Do the runs of ``plan`` whose record is not below ``results`` yet; a finished run is never touched.

    ``only`` names runs, or unique parts of their names; ``force`` moves what is there of them aside and does them
    anew. Runs that another process does are passed over and looked at again at the end: whoever comes last reports
    those that are still held, and waits for nobody. A run that fails says so in its folder, and the others go on.

    Raises:
        BenchError: ``only`` names no run or several, the disk is full, a record is damaged.
        Stopped: SIGINT or SIGTERM; what was done is saved.
    """
    if results.exists() and not results.is_dir():
        raise BenchError(f"{results}: is a file; --results names a folder.")
    join()
    runs = _chosen(plan.runs, only)
    outcome = Outcome()
    notes: list[str] = []
    missing = [runs[i] for i in on_main(lambda: _missing(runs, results, force, outcome, notes.append))]
    on_main(lambda: _note_plan(plan, results))
    if missing:
        on_main(lambda: fetch_weights(plan.inputs.model))
    units = sum(work_units(run, plan.inputs) for run in missing)
    with _Progress(progress, units, len(missing)) as reporter, Stop(reporter.note) as stop:
        for note in notes:
            reporter.note(note)
        for run in runs:
            if run.method.is_base and run.name in outcome.skipped and isinstance(reporter, Reporter):
                reporter.base(retained(read_record(results / run.folder / RECORD).scores))
        executor = _Executor(plan, results, stop, reporter, force, report_to, outcome)
        held = [run for run in missing if not executor.do(run)]
        for run in held:  # whoever had it may be gone by now, or done
            executor.do(run)
    return outcome


def execute_all(
    plans: Sequence[Plan],
    results: Path,
    progress: ProgressMode = "person",
    only: Sequence[str] = (),
    force: bool = False,
    report_to: Sequence[str] = (),
) -> Outcome:
    """Execute the plans that a spec's matrix made, one after another, as ``execute`` does; say how all runs ended."""
    chosen = {id(run) for run in _chosen([run for plan in plans for run in plan.runs], only)}
    whole = Outcome()
    for plan in plans:
        names = [run.folder.name for run in plan.runs if id(run) in chosen]
        if names:
            part = execute(plan, results, progress, names if only else (), force, report_to)
            for field_ in fields(whole):
                mine, more = getattr(whole, field_.name), getattr(part, field_.name)
                mine.update(more) if isinstance(mine, dict) else mine.extend(more)
    return whole


class _Progress:
    """The progress of a mode, as a context."""

    def __init__(self, mode: ProgressMode, units: float, runs: int) -> None:
        self._reporter = Reporter(units, runs) if mode == "person" and is_main() else None
        others: dict[ProgressMode, Callable[[], Progress]] = {"machine": JsonLines, "quiet": Warnings}
        self._progress = self._reporter or (others[mode]() if is_main() else NoProgress())

    def __enter__(self) -> Progress:
        return self._reporter.__enter__() if self._reporter else self._progress

    def __exit__(self, *error: object) -> None:
        if self._reporter:
            self._reporter.__exit__(None, None, None)


@dataclass
class _Executor:
    """Does runs, and takes down how they end."""

    plan: Plan
    results: Path
    stop: Stop
    progress: Progress
    force: bool
    report_to: Sequence[str]
    outcome: Outcome

    def do(self, run: Run) -> bool:
        """Do one run, whatever comes of it; False if another process does it."""
        self.stop.check()
        folder = RunFolder(self.results / run.folder)
        lock = RunLock(folder)
        self.outcome.held.pop(run.name, None)
        try:
            status = on_main(lambda: self._take(run, folder, lock))
            if status == "missing":
                status = self._attempt(run, folder, lock)
        except Held as held:
            who = held.holder.place if held.holder else "another process"
            if run.name not in self.outcome.held:
                self.progress.note(f"{run.name}: {who} does this run")
            self.outcome.held[run.name] = who
            return False
        finally:
            if is_main():
                lock.release()
            release_memory()  # a model is full of reference cycles: the next run's would be loaded beside it
        if status != "failed":
            getattr(self.outcome, status).append(run.name)
        return True

    def _take(self, run: Run, folder: RunFolder, lock: RunLock) -> str:
        """Take the run's lock; return how the run ended, if another process did it since we looked."""
        lock.acquire()
        if self.force:
            folder.move_aside()
        elif folder.finished:
            return read_record(folder.path / RECORD).status
        return "missing"

    def _attempt(self, run: Run, folder: RunFolder, lock: RunLock) -> str:
        """Do the run and return how it ended; a failure is written to its folder."""
        progress = ProgressGroup([self.progress, LockNoteProgress(lock)]) if is_main() else self.progress
        try:
            record = do_run(run, self.plan.inputs, folder, progress, self.stop, self.force, self.report_to)
            return record.status
        except Stopped:
            self.progress.end_run("stopped", "stopped; the same command goes on from here")
            raise
        except OSError as error:
            if error.errno not in _DISK:
                return self._failed(run, folder, error)
            raise StoppedEarly(
                f"{error.filename or folder.path}: {error.strerror}. {run.name} goes on from its last checkpoint when "
                f"the same command is given again."
            ) from error
        except Exception as error:
            return self._failed(run, folder, error)

    def _failed(self, run: Run, folder: RunFolder, error: Exception) -> str:
        """Write down why a run failed, and let go of what it held."""
        reason, advice = _explain(error, folder)
        self.outcome.failed[run.name] = f"{reason} {advice}".rstrip()
        if is_main():
            folder.fail(reason, advice, "".join(traceback.format_exception(error)))
            self.progress.end_run("failed", f"failed: {reason} {advice}")
        if count() > 1:  # the other processes may wait for this one in the middle of a step
            raise error
        traceback.clear_frames(error.__traceback__)
        return "failed"


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
"""What ends a command and not one run: the next run would fail at the same."""


def _explain(error: Exception, folder: RunFolder) -> tuple[str, str]:
    """Return what happened in a sentence, and what can be done about it: where to look, in the run's ``folder``."""
    if isinstance(error, torch.OutOfMemoryError):
        return (
            f"Out of memory: {(str(error).strip().splitlines() or [''])[0]}",
            "A shorter data.context, a smaller evaluate.batch_size, train.precision: bf16 or an adapter needs less.",
        )
    if isinstance(error, BenchError):
        return str(error), ""
    return f"{(plugin_fault(error) or in_a_line(error)).rstrip('.')}.", f"{folder.traceback} says where."


def _chosen(runs: Sequence[Run], only: Sequence[str]) -> list[Run]:
    """Return the runs that ``only`` names, all without it.

    Raises:
        SpecError: A part that is in no run's name, or in several.
    """
    if not only:
        return list(runs)
    chosen = []
    for wanted in only:
        exact = [run for run in runs if wanted in (run.folder.as_posix(), run.folder.name, run.name)]
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


def _missing(
    runs: Sequence[Run], results: Path, force: bool, outcome: Outcome, say: Callable[[str], None]
) -> list[int]:
    """Return the positions of the runs that are to be done, and take down how the others ended."""
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
        if record.status == "diverged":
            outcome.diverged.append(run.name)
        wanted = run.spec.keep == "all" or (
            run.spec.keep == "adapters" and (record.parameters["trainable"] or 0) < (record.parameters["total"] or 0)
        )
        if wanted and record.status == "done" and run.build().trains and not folder.trained_file.exists():
            say(f"{run.name}: was finished without keeping its trained result; --force does it anew and keeps it")
        if run.spec.log.weight_norms and record.weight_norms is None:
            say(f"{run.name}: was finished without recording its weight norms; --force does it anew and records them")
        if folder.checkpoint.exists() or note_of(folder).exists():  # killed between the record and the tidying up
            lock = RunLock(folder)
            with contextlib.suppress(Held):
                lock.acquire()
                folder.tidy()
            lock.release()
    return missing


def _note_plan(plan: Plan, results: Path) -> None:
    """Write down which runs the spec stands for, so that ``status`` knows what is missing."""
    runs = [{"name": run.name, "folder": run.folder.name, "units": work_units(run, plan.inputs)} for run in plan.runs]
    text = to_json({"experiment": plan.spec.experiment, "runs": runs})
    folder = results / plan.spec.experiment
    path = folder / f"plan-{hashlib.sha256(text.encode()).hexdigest()[:10]}.json"
    if not path.exists():
        (folder / ".locks").mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".locks" / "plan.lock"):
            write_atomically(path, text)
