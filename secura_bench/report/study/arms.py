"""One method on one sequence of tasks: the runs of all its seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from secura_bench.report.statistics import Stratum
from secura_bench.report.study.items import Scored, stacked
from secura_bench.report.study.runs import Moment, Role, Run, WhenScored
from secura_bench.results.record import Score


def sequence_name(sequence: Sequence[str]) -> str:
    """Return what a sequence of tasks is called: the task, or how many there are."""
    return sequence[0] if len(sequence) == 1 else f"{len(sequence)} tasks"


@dataclass(frozen=True, eq=False)
class Arm:
    """One method with its settings on one sequence of tasks: a run a seed.

    ``method``: the title or label, with what tells it from others of that name. ``name``: as registered.
    """

    method: str
    name: str
    sequence: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """The label in the spec."""
        return self.runs[0].record.method["label"]

    @property
    def trained_on(self) -> str:
        """What its sequence is called: the task, or how many there are."""
        return sequence_name(self.sequence)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in order; none of the base model, in which nothing is drawn, nor of what others trained."""
        return tuple(run.record.seed for run in self.runs) if self.trained_here else ()

    @property
    def is_base(self) -> bool:
        """Whether this is the untouched model."""
        return self.name == "base"

    @property
    def trained_here(self) -> bool:
        """Whether the bench trained it: not the untouched model, and no checkpoint that others trained."""
        return self.name not in ("base", "checkpoint")

    @property
    def diverged(self) -> int:
        """How many of the runs diverged."""
        return sum(run.record.status == "diverged" for run in self.runs)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments at which every run was scored."""
        return tuple(m for m in self.runs[0].moments if all(m in run.moments for run in self.runs))

    @cached_property
    def _strata(self) -> dict[tuple[str, str, Role, str, WhenScored], Stratum | None]:
        return {}

    def stratum(self, protocol: str, metric: str, role: Role, task: str, at: WhenScored) -> Stratum | None:
        """Return the item scores of every seed, None where a file, a column or an item is missing."""
        key = (protocol, metric, role, task, at)
        if key not in self._strata:
            columns = [each and _column(*each, metric) for each in self.scores(protocol, role, task, at)]
            there = [column for column in columns if column]
            alike = len(there) == len(columns) > 0 and all(one.ids is there[0].ids for one in there)
            runs = "" if self.is_base else " ".join(self.sequence)
            self._strata[key] = stacked(task, there, runs, self.is_base) if alike else None
        return self._strata[key]

    def scores(self, protocol: str, role: Role, task: str, at: WhenScored) -> list[tuple[Run, Score] | None]:
        """Return a score of each seed, None where it has none; of the base model its newest record's that has it."""
        found = [(run, score) if (score := run.score(protocol, role, task, at)) else None for run in self.runs]
        return [next(filter(None, found), None)] if self.is_base else found


def _column(run: Run, score: Score, metric: str) -> Scored | None:
    """Return one metric's items; None unless they are there and have the record's mean."""
    items = run.items(score)
    found = None if items is None else items.scored(metric)
    stated = score.values.get(metric)
    if found is None or stated is None or not len(found.values):
        return None
    return found if math.isclose(found.values.sum() / len(found.values), stated, abs_tol=1e-6) else None
