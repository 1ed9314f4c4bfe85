"""The runs that a launcher hands out, and in which order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from secura_bench.foundation.errors import SpecError
from secura_bench.models.load import fetch_weights
from secura_bench.plan.fingerprint import resolved_options
from secura_bench.plan.make import Plan
from secura_bench.plan.phases import work_units
from secura_bench.plan.run import Run
from secura_bench.runs.choose import chosen_runs, missing_runs, note_plan
from secura_bench.runs.execute import check_results
from secura_bench.runs.outcome import Outcome


@dataclass(frozen=True)
class Job:
    """A missing run; ``units`` are the work that it is."""

    run: Run
    units: float

    @cached_property
    def start(self) -> str | None:
        """What is scored before the first step and may be another run's too, who then waits for it; None: nothing.

        ``runs.starts`` compares the weights themselves. Here is no model, so seeds that draw apart count as alike.
        """
        if self.run.method.is_base:
            return "base"
        method = self.run.build()
        if not method.trains or (method.starts_as_base and self.run.train.precision == "fp32"):
            return None
        return f"{self.run.method.name} {json.dumps(resolved_options(self.run.method), sort_keys=True)}"


def missing_jobs(
    plans: Sequence[Plan],
    results: Path,
    only: Sequence[str],
    force: bool,
    outcome: Outcome,
    say: Callable[[str], None],
    prepare: bool = True,
) -> list[Job]:
    """Return the runs of ``plans`` that must be done, and do once what all of them need: plan notes, models' weights.

    Into ``outcome`` comes how the others ended. Without ``prepare`` nothing is written or fetched.

    Raises:
        BenchError: ``only`` names no run or several; ``results`` is a file; a model cannot be fetched.
    """
    check_results(results)
    chosen = {id(run) for run in chosen_runs([run for plan in plans for run in plan.runs], only)}
    jobs: list[Job] = []
    for plan in plans:
        if runs := [run for run in plan.runs if id(run) in chosen]:
            missing = [runs[i] for i in missing_runs(runs, results, force, outcome, say)]
            if prepare:
                note_plan(plan, results)
            if prepare and missing:
                fetch_weights(plan.inputs.model)
            jobs += [Job(run, work_units(run, plan.inputs_of(run))) for run in missing]
    return jobs


def refuse_open_threads(plans: Sequence[Plan], launcher: str) -> None:
    """Refuse specs that leave the number of threads to the machine, for a launcher whose machines may differ.

    Raises:
        SpecError: One does.
    """
    for plan in plans:
        if plan.spec.threads is None:
            raise SpecError(
                f"--launcher {launcher}: {plan.spec.experiment} names no 'threads', and nodes may have other numbers "
                f"of cores, by which the same run would be another; write threads: 4, or add --set threads=4."
            )


class JobQueue:
    """Hands out jobs, in the order of the spec as far as it can.

    Jobs with one start are handed out one after another as long as there are others: the second would wait for the
    first to score it. What failed, or was held elsewhere, is handed out once more, when all others were.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = list(jobs)
        self._scoring: list[Job] = []
        self._repeated: set[int] = set()

    def take(self) -> Job | None:
        """Return the next job, None if none is left."""
        if not self._waiting:
            return None
        busy = {job.start for job in self._scoring} - {None}
        job = next((job for job in self._waiting if job.start not in busy), self._waiting[0])
        self._waiting.remove(job)
        self._scoring.append(job)
        return job

    def start_scored(self, job: Job) -> None:
        """Take note that nobody waits for the start of ``job`` any more: it trains, or has ended."""
        if job in self._scoring:
            self._scoring.remove(job)

    def again(self, job: Job) -> bool:
        """Put a job back, if it was not before; return whether it was put back."""
        if id(job.run) in self._repeated:
            return False
        self._repeated.add(id(job.run))
        self._waiting.append(job)
        return True
