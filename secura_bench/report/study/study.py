"""What records say, as values that tables, pictures, CSV, JSON and the page are made from. Imports no torch.

How to use it::

    runs, problems = read_runs([Path("results")])          # report/study/read.py: records, newest of each kept later
    for study in make_studies(runs):                       # comparable runs: one experiment, model and probe
        for arm in study.arms:                             # one method (with its settings) on one task sequence
            study.probe(arm, "generate", "accuracy")       # a Cell: value, low, high, n, seeds, per_seed, why
            study.learned(arm, "generate", "accuracy")     # right after each task, mean over tasks (a Cell)
            study.final(arm, "generate", "accuracy")       # the same tasks at the end
            study.retention(arm, "generate", "accuracy")   # probe / base's probe, percent, resampled pairwise
            study.curve(arm, "generate", "accuracy")       # [(Moment, Cell)]: the probe along the sequence (Figure 4)
            study.curve(arm, "generate", "accuracy", retention=True)
            study.matrix(arm, "generate", "accuracy")      # Matrix: rows base, after task 1, …; columns tasks; Cells
            study.continual(arm, "generate", "accuracy")   # {"average_accuracy": Cell, …}: the keys of CONTINUAL
        study.base                                         # the untouched model's Arm, or None; probe(study.base, …)
        study.protocols, study.methods, study.sequences    # what there is, in the order of the tables

A missing number is NaN, never 0; ``Cell.why`` says why there is none, or why it has no interval. Several seeds are
one arm; ``arm.runs`` are the single runs, each with ``record``, ``log()`` (lines of log.jsonl: gradient norms),
``items(...)`` (scores of every item) and ``texts(...)`` (prompts and answers, which only the page reads).
Files are read when they are asked for: a study of a thousand records costs what is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal

import numpy as np

from secura_bench.report import statistics
from secura_bench.report.statistics import Floats, Sample, Stratum, continual
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import (
    MISSING,
    Cell,
    ScoreKey,
    Spread,
    as_told,
    mean_cell,
    number_of,
    sample_of,
)
from secura_bench.report.study.kept import retention
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.runs import Moment, Role, Run, WhenScored
from secura_bench.report.study.unread import RANDOM, least
from secura_bench.results.record import DataNote
from secura_bench.spec.probe import PREFIX


@dataclass(frozen=True)
class Matrix:
    """The accuracy matrix of one arm: ``cells[i][j]`` after ``after[i]`` (None: the base model) on ``tasks[j]``."""

    after: tuple[str | None, ...]
    tasks: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]

    @property
    def values(self) -> Floats:
        """The numbers alone, rows × tasks, NaN where none was measured."""
        return np.array([[cell.value for cell in row] for row in self.cells])


@dataclass(frozen=True, eq=False)
class Study:
    """Runs that may be compared: of one experiment, model, mode and limit, scored on the very same probe rows.

    ``superseded``: older records of the same settings and seed, left aside; ``other_rows``: those of other seeds on
    other rows than the newest had, left aside too. ``left_out``: methods that are not shown.
    ``apart``: what tells it from others of its experiment and model, nothing where it is alone.
    """

    experiment: str
    model: str
    mode: Literal["sequence", "separate"]
    probe_name: str
    limit: int | None
    base: Arm | None
    arms: tuple[Arm, ...]
    superseded: int = 0
    other_rows: int = 0
    left_out: tuple[str, ...] = ()
    apart: str = ""
    _cells: dict[tuple[ScoreKey, ...], Cell] = field(default_factory=dict, repr=False)
    _kept: dict[tuple[ScoreKey, ...], Cell] = field(default_factory=dict, repr=False)

    # What there is

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, the base's first."""
        return (*(self.base.runs if self.base else ()), *(run for arm in self.arms for run in arm.runs))

    @cached_property
    def data(self) -> dict[str, DataNote]:
        """What is noted of each task's rows."""
        return {task: note for run in self.runs for task, note in run.record.data.items()}

    @cached_property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that something was scored by, in the order of their tables."""
        found = {score.protocol for run in self.runs for score in run.record.scores}
        return (*(name for name in PROTOCOLS if name in found), *sorted(found - set(PROTOCOLS)))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods' labels, in order, without the base."""
        return tuple(dict.fromkeys(arm.method for arm in self.arms))

    @property
    def sequences(self) -> tuple[tuple[str, ...], ...]:
        """The task sequences that something was trained on; the base's own tasks where nothing was."""
        trained = tuple(dict.fromkeys(arm.sequence for arm in self.arms))
        return trained or ((self.base.sequence,) if self.base else ())

    @property
    def title(self) -> str:
        """What it is called: no two studies of one set of records alike."""
        return " · ".join(filter(None, (self.experiment, self.model, self.apart)))

    @property
    def names(self) -> dict[str, str]:
        """What the study is of, in every format."""
        return {"experiment": self.experiment, "model": self.model, "mode": self.mode, "probe": self.probe_name}

    def probe_of(self, protocol: str = "") -> str:
        """Return what the part of the probe is called that a protocol scores: lm-eval's tasks its own alone does."""
        unscored = {*self.runs[0].record.probe_parts} - self._scored_parts.get(protocol, set())
        names = [n for n in self.probe_name.split(" + ") if n.startswith(PREFIX) == (protocol == "lm_eval")]
        return " + ".join(n for n in names if not (protocol and n in unscored)) or self.probe_name

    @cached_property
    def _scored_parts(self) -> dict[str, set[str]]:
        """By protocol, the parts of the probe that it scored."""
        found: dict[str, set[str]] = {}
        for score in (score for run in self.runs for score in run.record.scores if score.role == "part"):
            found.setdefault(score.protocol, set()).add(score.task)
        return found

    def parts_of(self, protocol: str) -> list[str]:
        """Return the parts of the probe that a protocol scored; where no part was told by itself, that it may score."""
        scored = self._scored_parts.get(protocol, set(self.runs[0].record.probe_parts))
        parts = [part for part in self.runs[0].record.probe_parts if part in scored]
        return [part for part in parts if part.startswith(PREFIX) == (protocol == "lm_eval")]

    def arm(self, method: str, sequence: tuple[str, ...]) -> Arm | None:
        """Return a method's arm on a sequence; ``base`` is the untouched model."""
        if method == "base":
            return self.base
        return next((arm for arm in self.arms if arm.method == method and arm.sequence == sequence), None)

    @property
    def given(self) -> str:
        """How its methods had to do with its tasks: models that others trained may have been scored on them alone."""
        return "trained on" if any(arm.trained_here for arm in self.arms) or not self.arms else "scored on"

    # Numbers

    def probe(
        self, arm: Arm | None, protocol: str, metric: str, at: WhenScored = "end", part: str | None = None
    ) -> Cell:
        """Return the score on the probe (or on one ``part`` of it)."""
        role: Role = "probe" if part is None else "part"
        return self._mean(arm, protocol, metric, role, (part or self.probe_name,), at)

    def task(self, arm: Arm | None, protocol: str, metric: str, task: str, at: WhenScored) -> Cell:
        """Return the score on a trained task's test rows."""
        return self._mean(arm, protocol, metric, "task", (task,), at)

    def learned(self, arm: Arm | None, protocol: str, metric: str, sequence: Sequence[str] = ()) -> Cell:
        """Return the score right after each task was trained, mean over tasks; of the base: of ``sequence``."""
        return self._mean(arm, protocol, metric, "task", tuple(sequence) or (arm.sequence if arm else ()), "learned")

    def final(self, arm: Arm | None, protocol: str, metric: str, sequence: Sequence[str] = ()) -> Cell:
        """Return the score on all tasks at the end, mean over tasks; missing where one of them was not scored."""
        return self._mean(arm, protocol, metric, "task", tuple(sequence) or (arm.sequence if arm else ()), "end")

    def _mean(
        self, arm: Arm | None, protocol: str, metric: str, role: Role, tasks: tuple[str, ...], at: WhenScored
    ) -> Cell:
        if arm is None:
            return Cell(spread="no record")
        keys = tuple(ScoreKey(arm, protocol, metric, role, task, at) for task in tasks)
        if keys not in self._cells:
            self._cells[keys] = mean_cell(keys)
        return self._cells[keys]

    def retention(self, arm: Arm | None, protocol: str, metric: str, at: WhenScored = "end") -> Cell:
        """Return the probe's score as percent of the base's; both are resampled on the same items.

        Of perplexity, which is better the lower it is: the base's as percent of the run's.
        """
        return self.mean_retention([arm] if arm else [], protocol, metric, at)

    def mean_retention(self, arms: Sequence[Arm], protocol: str, metric: str, at: WhenScored = "end") -> Cell:
        """Return retention, mean over ``arms`` (one method's, on several sequences).

        None of an accuracy that is not told apart from chance in the base model: there is nothing that could be kept.
        """
        keys = tuple(ScoreKey(arm, protocol, metric, "probe", self.probe_name, at) for arm in arms)
        if keys not in self._kept:
            base = self.probe(self.base, protocol, metric)
            under = ScoreKey(self.base, protocol, metric, "probe", self.probe_name, "end") if self.base else None
            self._kept[keys] = retention(keys, metric, base, under, self._chance(protocol))
        return self._kept[keys]

    def _chance(self, protocol: str) -> float:
        """Return the accuracy of a random choice on the probe's rows; where there are no choices it gives nothing."""
        parts = (self.data[part] for part in self.parts_of(protocol) if part in self.data)
        return least(RANDOM.of_part(part, protocol) for part in parts)

    def curve(self, arm: Arm, protocol: str, metric: str, retention: bool = False) -> list[tuple[Moment, Cell]]:
        """Return the probe's score (or retention) at every moment that all of the arm's runs were scored at."""
        measure = self.retention if retention else self.probe
        return [(moment, measure(arm, protocol, metric, moment)) for moment in arm.moments]

    def continual(self, arm: Arm, protocol: str, metric: str) -> dict[str, Cell]:
        """Return ``CONTINUAL``'s metrics of an arm, in its order; NaN where the matrix lacks what they need.

        Intervals hold forgetting's best moments where they were seen: a bootstrapped maximum lies above its mean.
        """
        return _continual(self, arm, protocol, metric)

    def matrix(self, arm: Arm, protocol: str, metric: str) -> Matrix:
        """Return the accuracy matrix, the base's row first."""
        ends = [moment for moment in arm.moments if moment.finished and moment.after is not None]
        rows = [tuple(self.task(self.base, protocol, metric, task, "end") for task in arm.sequence)]
        rows += [tuple(self.task(arm, protocol, metric, task, moment) for task in arm.sequence) for moment in ends]
        return Matrix((None, *(moment.after for moment in ends)), arm.sequence, tuple(rows))

    def score_keys(
        self, arms: Iterable[Arm], protocol: str, metric: str, what: Literal["probe", "learned"]
    ) -> list[ScoreKey]:
        """Return where ``arms`` stand: on the probe at the end, or on each task right after its training."""
        if what == "probe":
            return [ScoreKey(arm, protocol, metric, "probe", self.probe_name, "end") for arm in arms]
        return [ScoreKey(arm, protocol, metric, "task", task, "learned") for arm in arms for task in arm.sequence]


CONTINUAL = {
    "average_accuracy": continual.average_accuracy,
    "learning_accuracy": continual.learning_accuracy,
    "backward_transfer": continual.backward_transfer,
    "forward_transfer": continual.forward_transfer,
    "forgetting": continual.forgetting,
}
"""The continual metrics that follow from an accuracy matrix, forward transfer from the base's scores as well."""


def _continual(study: Study, arm: Arm, protocol: str, metric: str) -> dict[str, Cell]:
    tasks, last = arm.sequence, len(arm.sequence) - 1

    def key(j: int, i: int) -> ScoreKey | None:
        """Return task ``j`` after task ``i``, the base's at -1."""
        if i < 0:
            return ScoreKey(study.base, protocol, metric, "task", tasks[j], "end") if study.base else None
        moment = next((m for m in arm.moments if m.finished and m.after == tasks[i]), None)
        return ScoreKey(arm, protocol, metric, "task", tasks[j], moment) if moment else None

    count = range(len(tasks))
    keys = {(i, j): key(j, i) for i in range(-1, len(tasks)) for j in count}
    scores = {at: one.scores() if one else [] for at, one in keys.items()}

    def matrix(seed: int) -> Floats:
        rows = [[scores[i, j][seed : seed + 1] or [None] for j in count] for i in count]
        return np.array([[number_of(found[0], metric) for found in row] for row in rows])

    base = np.array([number_of((scores[-1, j] or [None])[0], metric) for j in count])
    matrices = [matrix(seed) for seed in range(len(arm.runs))]
    mean = np.mean(matrices, axis=0)
    best = {j: j + int(np.argmax(mean[j:last, j])) for j in range(last)}
    counted: dict[str, list[tuple[tuple[int, int], tuple[int, int] | None]]] = {
        "average_accuracy": [((last, j), None) for j in count],
        "learning_accuracy": [((j, j), None) for j in count],
        "backward_transfer": [((last, j), (j, j)) for j in range(last)],
        "forward_transfer": [((j - 1, j), (-1, j)) for j in count if j],
        "forgetting": [((best[j], j), (last, j)) for j in range(last)],
    }
    found = {}
    for name, formula in CONTINUAL.items():
        each = tuple(
            float(formula(R, base) if name == "forward_transfer" else formula(R))  # type: ignore[operator]
            for R in matrices
        )
        value = math.fsum(each) / len(each)
        if math.isnan(value):
            found[name] = Cell(MISSING, "one task" if last == 0 else "not scored", 0, arm.seeds, each)
            continue
        pairs = [(one, keys[other] if other else None) for at, other in counted[name] if (one := keys[at])]
        n = sum(max((score[1].n for score in one.scores() if score), default=0) for one, _ in pairs)
        found[name] = Cell(value, partial(_contrast_spread, pairs, each), n, arm.seeds, each, len(arm.runs) == 1)
    return found


def _contrast_spread(pairs: Sequence[tuple[ScoreKey, ScoreKey | None]], per_seed: Sequence[float]) -> Spread:
    sample = contrast(pairs)
    ends = (-100.0 if any(other for _, other in pairs) else 0.0, 100.0)
    found = statistics.interval(sample, *ends) if sample else None
    told = as_told(found or statistics.seed_interval(per_seed, *ends), *ends, [one for one, _ in pairs])
    return told or "no items to resample, or too few"


def contrast(pairs: Sequence[tuple[ScoreKey, ScoreKey | None]]) -> Sample | None:
    """Return one score less another on the same items, a stratum a pair (None takes nothing away)."""
    strata: list[Stratum] = []
    for one, other in pairs:
        left, right = sample_of([one]), sample_of([other]) if other else None
        if left is None or (other is not None and right is None):
            return None
        gap = left if right is None else statistics.difference(left, right)
        if gap is None:
            return None
        strata += gap.strata
    return Sample(tuple(strata)) if strata else None
