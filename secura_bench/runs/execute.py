"""Executes plans: does the missing runs, one after another. Other processes may work on the same results."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from secura_bench.checkpoints.lend import Lender
from secura_bench.foundation.errors import BenchError, StoppedEarly
from secura_bench.foundation.wording import first_line, in_a_line
from secura_bench.methods.plugins import plugin_fault
from secura_bench.models.load import fetch_weights
from secura_bench.plan.make import Plan
from secura_bench.plan.phases import work_units
from secura_bench.plan.run import Run
from secura_bench.results.folder import RECORD, RunFolder
from secura_bench.results.lock import Held, RunLock
from secura_bench.results.read import read_record
from secura_bench.runs.choose import chosen_runs, missing_runs, note_plan
from secura_bench.runs.elsewhere import Elsewhere
from secura_bench.runs.one_run import do_run
from secura_bench.runs.outcome import Outcome
from secura_bench.runs.progress.events import NoProgress, Progress, ProgressGroup, Warnings
from secura_bench.runs.progress.lock_note import LockNoteProgress
from secura_bench.runs.progress.machine import JsonLines
from secura_bench.runs.progress.person import Reporter, retained
from secura_bench.runs.stopping import Stop, Stopped
from secura_bench.training.memory import release_memory, set_aside
from secura_bench.training.processes import is_for_all, is_main, join, on_main

ProgressMode = Literal["person", "machine", "quiet"]


def execute(
    plans: Sequence[Plan],
    results: Path,
    progress: ProgressMode | Progress = "person",
    only: Sequence[str] = (),
    force: bool = False,
    report_to: Sequence[str] = (),
) -> Outcome:
    """Do the runs of ``plans`` whose record is not below ``results`` yet, one plan after another.

    A finished run is never touched. ``only`` names runs, or unique parts of their names. ``force`` moves the folders
    of runs aside and does the runs anew. A run that another process does is left out, and looked at again at the end
    of its plan. If it is still held then, the outcome says so: nobody waits. If a run fails, its folder says why, and
    the other runs go on. ``progress`` is a way to tell of it that is known by name, or whom to tell.

    Raises:
        BenchError: ``only`` names no run or several, the disk is full, a record is damaged.
        Stopped: SIGINT or SIGTERM; what was done is saved.
    """
    check_results(results)
    chosen = {id(run) for run in chosen_runs([run for plan in plans for run in plan.runs], only)}
    order = _Order(results, progress, force, report_to)
    whole = Outcome()
    with set_aside():
        for plan in plans:
            if runs := [run for run in plan.runs if id(run) in chosen]:
                whole.add(_execute(plan, runs, order))
    return whole


def check_results(results: Path) -> None:
    """Refuse a results folder that is a file.

    Raises:
        BenchError: It is one.
    """
    if results.exists() and not results.is_dir():
        raise BenchError(f"{results}: is a file; --results names a folder.")


def progress_of(mode: ProgressMode | Progress) -> Progress:
    """Return what tells of one run after another in a mode that is not a person's; a progress stays itself."""
    return {"machine": JsonLines, "quiet": Warnings}[mode]() if isinstance(mode, str) else mode


@dataclass(frozen=True)
class _Order:
    """What a command says of all its runs."""

    results: Path
    progress: ProgressMode | Progress
    force: bool
    report_to: Sequence[str]


def _execute(plan: Plan, runs: Sequence[Run], order: _Order) -> Outcome:
    """Do the missing ones of a plan's ``runs``."""
    join()
    outcome = Outcome()
    notes: list[str] = []
    missing = [runs[i] for i in on_main(lambda: missing_runs(runs, order.results, order.force, outcome, notes.append))]
    on_main(lambda: note_plan(plan, order.results))
    if missing:
        on_main(lambda: fetch_weights(plan.inputs.model))
    units = {run.name: float(work_units(run, plan.inputs_of(run))) for run in missing}
    elsewhere = Elsewhere(order.results, {run.name: run for run in missing}, units, order.force)
    with _Progress(order.progress, elsewhere) as reporter, Stop(reporter.note) as stop:
        for note in notes:
            reporter.note(note)
        for run in runs:
            if run.method.is_base and run.name in outcome.skipped and isinstance(reporter, Reporter):
                reporter.base(retained(read_record(order.results / run.folder / RECORD).scores))
        executor = _Executor(plan, order, stop, reporter, outcome, elsewhere)
        held = [run for run in missing if not executor.do(run)]
        for run in held:  # whoever had it may be gone by now, or done
            executor.do(run)
    return outcome


class _Progress:
    """The progress of a mode, or one that was handed over, as a context."""

    def __init__(self, mode: ProgressMode | Progress, elsewhere: Elsewhere) -> None:
        units = elsewhere.units
        self._reporter = (
            Reporter(sum(units.values()), len(units), elsewhere=elsewhere) if mode == "person" and is_main() else None
        )
        self._progress = self._reporter or (progress_of(mode) if is_main() else NoProgress())

    def __enter__(self) -> Progress:
        return self._reporter.__enter__() if self._reporter else self._progress

    def __exit__(self, *error: object) -> None:
        if self._reporter:
            self._reporter.__exit__(None, None, None)


@dataclass
class _Executor:
    """Does runs, and takes down how they end."""

    plan: Plan
    order: _Order
    stop: Stop
    progress: Progress
    outcome: Outcome
    elsewhere: Elsewhere
    lender: Lender = field(default_factory=Lender)

    def do(self, run: Run) -> bool:
        """Do one run, whatever comes of it; False if another process does it."""
        self.stop.check()
        folder = RunFolder(self.order.results / run.folder)
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
        self.elsewhere.here.add(run.name)
        if self.order.force:
            folder.move_aside()
        elif folder.finished:
            self.elsewhere.here.discard(run.name)
            return read_record(folder.path / RECORD).status
        return "missing"

    def _attempt(self, run: Run, folder: RunFolder, lock: RunLock) -> str:
        """Do the run and return how it ended; a failure is written to its folder."""
        progress = ProgressGroup([self.progress, LockNoteProgress(lock)]) if is_main() else self.progress
        try:
            inputs, order = self.plan.inputs_of(run), self.order
            record = do_run(run, inputs, folder, progress, self.stop, order.force, order.report_to, self.lender)
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
        if not is_for_all(error):  # the other processes may wait for this one in the middle of a step
            raise error
        traceback.clear_frames(error.__traceback__)
        return "failed"


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
"""What ends a command and not one run: the next run would fail at the same."""


def _explain(error: Exception, folder: RunFolder) -> tuple[str, str]:
    """Return what happened in a sentence, and what can be done about it: where to look, in the run's ``folder``."""
    if isinstance(error, torch.OutOfMemoryError):
        return (
            f"Out of memory: {first_line(error)}",
            "A shorter data.context, a smaller evaluate.batch_size, train.precision: bf16 or an adapter needs less.",
        )
    if isinstance(error, BenchError):
        return str(error), ""
    return f"{(plugin_fault(error) or in_a_line(error)).rstrip('.')}.", f"{folder.traceback} says where."
