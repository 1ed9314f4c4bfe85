"""What records say, as values that tables, pictures, CSV, JSON and the page are made from. Imports no torch.

How to use it::

    runs, problems = read_runs([Path("results")])          # report/collect.py: records, newest of each kept later
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

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic_core import from_json

from secura_bench.evaluation import continual
from secura_bench.records import MIXED, RunRecord, Score
from secura_bench.regular import open_regular
from secura_bench.report import statistics
from secura_bench.report.items import Items, Scored, joined, pooled, read_items, stacked
from secura_bench.report.metrics import PROTOCOLS
from secura_bench.report.metrics import metric as known
from secura_bench.report.statistics import Comparison, Floats, Interval, Sample, Stratum
from secura_bench.store import items_file

MISSING = math.nan
Spread = Interval | str
"""An interval, or why there is none."""
Role = Literal["probe", "part", "task"]


@dataclass(frozen=True)
class Moment:
    """When a run was scored: ``after`` the task trained last (None before the first step), at ``step`` within it.

    ``finished``: that task's training had ended, its boundary's merge done.
    """

    after: str | None
    step: int
    finished: bool


At = Moment | Literal["start", "learned", "end"]
"""A moment, or one to be found in each run: before training; right after the task in question; at the end."""


@dataclass(frozen=True, eq=False)
class Run:
    """One record, and the folder that it lies in (None: a record by itself)."""

    record: RunRecord
    folder: Path | None = None

    @cached_property
    def _scores(self) -> dict[tuple[str, str, str, Moment], Score]:
        return {(s.protocol, s.role, s.task, moment_of(s)): s for s in self.record.scores}

    @cached_property
    def moments(self) -> tuple[Moment, ...]:
        """Every moment at which the run was scored, in order."""
        return tuple(dict.fromkeys(moment_of(s) for s in sorted(self.record.scores, key=lambda s: s.stage)))

    @cached_property
    def end(self) -> Moment | None:
        """The moment at which the run ended, None if it did not get there (it diverged)."""
        if self.record.method["name"] == "base":
            return self.moments[-1] if self.moments else None
        ends = [moment for moment in self.moments if moment.finished and moment.after is not None]
        return ends[-1] if ends and self.record.status == "done" else None

    def moment(self, at: At, task: str) -> Moment | None:
        """Return the moment that ``at`` means in this run, for ``task``."""
        if isinstance(at, Moment):
            return at if at in self.moments else None
        if self.record.method["name"] == "base" or at == "end":
            return self.end
        if at == "start":
            return next((moment for moment in self.moments if moment.after is None), None)
        return next((moment for moment in self.moments if moment.finished and moment.after in (task, MIXED)), None)

    def score(self, protocol: str, role: Role, task: str, at: At) -> Score | None:
        """Return one score; None where the run has none."""
        moment = self.moment(at, task)
        return None if moment is None else self._scores.get((protocol, role, task, moment))

    def file(self, score: Score, part: str | None = None, ending: str = ".json") -> Path | None:
        """Return where the items behind a score (of the pool's ``part``) lie, whether they are there or not."""
        return None if self.folder is None else (self.folder / items_file(score, part)).with_suffix(ending)

    @cached_property
    def _read(self) -> dict[tuple[int, str, str, str], Items | None]:
        return {}

    def items(self, score: Score) -> Items | None:
        """Return the item scores behind a score (the probe's: its parts' in their order), None where they are not."""
        key = (score.stage, score.protocol, score.role, score.task)
        if key not in self._read:
            parts = self._parts(score) if score.role == "probe" else (score.task,)
            read = [read_items(path) for part in parts if (path := self.file(score, part))]
            self._read[key] = pooled(parts, read) if score.role == "probe" else next(iter(read), None)
        return self._read[key]

    def _parts(self, probe: Score) -> tuple[str, ...]:
        """Return the probe's parts that the protocol scored: some have rows without choices alone."""
        moment = moment_of(probe)
        scored = (part for part in self.record.probe_parts if (probe.protocol, "part", part, moment) in self._scores)
        return tuple(scored) or self.record.probe_parts

    def texts(self, score: Score, task: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield each item's id, prompt, reference, prediction and extracted answer; damaged lines are left out."""
        path = self.file(score, task, ".texts.jsonl")
        yield from _read_lines(path)

    def log(self, holding: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Yield the lines of ``log.jsonl``, one a step (that hold any of these words); nothing where there is none."""
        yield from _read_lines(None if self.folder is None else self.folder / "log.jsonl", holding)


def sequence_name(sequence: Sequence[str]) -> str:
    """Return what a sequence of tasks is called: the task, or how many there are."""
    return sequence[0] if len(sequence) == 1 else f"{len(sequence)} tasks"


@dataclass(frozen=True, eq=False)
class Arm:
    """One method with its settings on one sequence of tasks: a run a seed.

    ``method``: the label, with what tells it from others of that label. ``name``: as registered.
    """

    method: str
    name: str
    sequence: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def trained_on(self) -> str:
        """What its sequence is called: the task, or how many there are."""
        return sequence_name(self.sequence)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in order; of the base model none: nothing in it is drawn."""
        return () if self.is_base else tuple(run.record.seed for run in self.runs)

    @property
    def is_base(self) -> bool:
        """Whether this is the untouched model."""
        return self.name == "base"

    @property
    def diverged(self) -> int:
        """How many of the runs diverged."""
        return sum(run.record.status == "diverged" for run in self.runs)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments at which every run was scored."""
        return tuple(m for m in self.runs[0].moments if all(m in run.moments for run in self.runs))

    @cached_property
    def _strata(self) -> dict[tuple[str, str, Role, str, At], Stratum | None]:
        return {}

    def stratum(self, protocol: str, metric: str, role: Role, task: str, at: At) -> Stratum | None:
        """Return the item scores of every seed, None where a file, a column or an item is missing."""
        key = (protocol, metric, role, task, at)
        if key not in self._strata:
            columns = [each and _column(*each, metric) for each in self.scores(protocol, role, task, at)]
            there = [column for column in columns if column]
            alike = len(there) == len(columns) > 0 and all(one.ids is there[0].ids for one in there)
            runs = "" if self.is_base else " ".join(self.sequence)
            self._strata[key] = stacked(task, there, runs, self.is_base) if alike else None
        return self._strata[key]

    def scores(self, protocol: str, role: Role, task: str, at: At) -> list[tuple[Run, Score] | None]:
        """Return a score of each seed, None where it has none; of the base model its newest record's that has it."""
        found = [(run, score) if (score := run.score(protocol, role, task, at)) else None for run in self.runs]
        return [next(filter(None, found), None)] if self.is_base else found


@dataclass(frozen=True)
class Cell:
    """A number and how sure it is: mean over seeds, its 95 % interval, and why there is none.

    ``per_seed`` are the seeds' own numbers, ``n`` the items. ``spread``: the interval, or why there is none (or no
    number), or what finds that out: items are read when an interval is asked for, and a table shows few of them.
    ``items_only``: something behind it was trained under one seed; its interval says nothing of another.
    ``prediction`` finds the interval of one more run.
    """

    value: float = MISSING
    spread: Spread | Callable[[], Spread] = ""
    n: int = 0
    seeds: tuple[int, ...] = ()
    per_seed: tuple[float, ...] = ()
    items_only: bool = False
    prediction: Callable[[], Interval | None] = lambda: None

    @cached_property
    def predicted(self) -> Interval | None:
        """The 95 % prediction interval of one more run (one seed, as many other items); None where none is known."""
        return self.prediction()

    @cached_property
    def _spread(self) -> Spread:
        return self.spread() if callable(self.spread) else self.spread

    @property
    def missing(self) -> bool:
        """Whether there is no number."""
        return math.isnan(self.value)

    @property
    def interval(self) -> Interval | None:
        """The interval, None where there is none."""
        return self._spread if isinstance(self._spread, Interval) else None

    @property
    def why(self) -> str:
        """Why there is no number, or no interval; empty where there is one."""
        return self._spread if isinstance(self._spread, str) else ""

    @property
    def low(self) -> float:
        """The interval's lower end, NaN where there is none."""
        return self.interval.low if self.interval else MISSING

    @property
    def high(self) -> float:
        """The interval's upper end, NaN where there is none."""
        return self.interval.high if self.interval else MISSING


@dataclass(frozen=True)
class Spot:
    """Where a score stands: of which runs, by which protocol and metric, on which rows, at which moment."""

    arm: Arm
    protocol: str
    metric: str
    role: Role
    task: str
    at: At

    def scores(self) -> list[tuple[Run, Score] | None]:
        """Return the score of each seed with its run, None where it is missing."""
        return self.arm.scores(self.protocol, self.role, self.task, self.at)


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

    ``superseded``: older records of the same settings and seed, left aside.
    """

    experiment: str
    model: str
    mode: Literal["sequence", "separate"]
    probe_name: str
    limit: int | None
    base: Arm | None
    arms: tuple[Arm, ...]
    superseded: int = 0
    _cells: dict[tuple[Spot, ...], Cell] = field(default_factory=dict, repr=False)

    # What there is

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, the base's first."""
        return (*(self.base.runs if self.base else ()), *(run for arm in self.arms for run in arm.runs))

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
    def names(self) -> dict[str, str]:
        """What the study is of, in every format."""
        return {"experiment": self.experiment, "model": self.model, "mode": self.mode, "probe": self.probe_name}

    def arm(self, method: str, sequence: tuple[str, ...]) -> Arm | None:
        """Return a method's arm on a sequence; ``base`` is the untouched model."""
        if method == "base":
            return self.base
        return next((arm for arm in self.arms if arm.method == method and arm.sequence == sequence), None)

    # Numbers

    def probe(self, arm: Arm | None, protocol: str, metric: str, at: At = "end", part: str | None = None) -> Cell:
        """Return the score on the probe (or on one ``part`` of it)."""
        role: Role = "probe" if part is None else "part"
        return self._mean(arm, protocol, metric, role, (part or self.probe_name,), at)

    def task(self, arm: Arm | None, protocol: str, metric: str, task: str, at: At) -> Cell:
        """Return the score on a trained task's test rows."""
        return self._mean(arm, protocol, metric, "task", (task,), at)

    def learned(self, arm: Arm | None, protocol: str, metric: str, sequence: Sequence[str] = ()) -> Cell:
        """Return the score right after each task was trained, mean over tasks; of the base: of ``sequence``."""
        return self._mean(arm, protocol, metric, "task", tuple(sequence) or (arm.sequence if arm else ()), "learned")

    def final(self, arm: Arm | None, protocol: str, metric: str, sequence: Sequence[str] = ()) -> Cell:
        """Return the score on all tasks at the end, mean over tasks; missing where one of them was not scored."""
        return self._mean(arm, protocol, metric, "task", tuple(sequence) or (arm.sequence if arm else ()), "end")

    def _mean(self, arm: Arm | None, protocol: str, metric: str, role: Role, tasks: tuple[str, ...], at: At) -> Cell:
        if arm is None:
            return Cell(spread="no record")
        spots = tuple(Spot(arm, protocol, metric, role, task, at) for task in tasks)
        if spots not in self._cells:
            self._cells[spots] = mean_cell(spots)
        return self._cells[spots]

    def retention(self, arm: Arm | None, protocol: str, metric: str, at: At = "end") -> Cell:
        """Return the probe's score as percent of the base's; both are resampled on the same items.

        Of perplexity, which is better the lower it is: the base's as percent of the run's.
        """
        return self.mean_retention([arm] if arm else [], protocol, metric, at)

    def mean_retention(self, arms: Sequence[Arm], protocol: str, metric: str, at: At = "end") -> Cell:
        """Return retention, mean over ``arms`` (one method's, on several sequences).

        None of an accuracy that is not told apart from chance in the base model: there is nothing that could be kept.
        """
        spots = [Spot(arm, protocol, metric, "probe", self.probe_name, at) for arm in arms]
        base, mine = self.probe(self.base, protocol, metric), mean_cell(spots)
        lower = metric == "perplexity"
        if mine.missing or base.missing or base.value <= 0 or not (lower or known(metric).percent):
            why = mine.why if mine.missing else "the base's record is missing" if base.missing else "the base scores 0"
            return Cell(spread=why, n=mine.n, seeds=mine.seeds)
        if metric.startswith("accuracy") and base.interval and base.low <= self._chance(protocol):
            return Cell(spread=BY_CHANCE, n=mine.n, seeds=mine.seeds)
        value, *seeds = (100 * (base.value / v if lower else v / base.value) for v in (mine.value, *mine.per_seed))
        if all(arm.is_base for arm in arms):
            return Cell(value, Interval(value, value), mine.n, (), tuple(seeds))
        most = 100 * 100 / base.value

        def spread() -> Spread:
            under = Spot(self.base, protocol, metric, "probe", self.probe_name, "end") if self.base else None
            if lower:
                return (_perplexity(spots[0], under) if len(spots) == 1 else None) or "no items to resample, or too few"
            one, other = sample_of(spots), sample_of([under]) if under else None
            if one and other:
                return _told(statistics.ratio_interval(one, other), 0.0, most, spots) or mine.why
            return _told(statistics.seed_interval(seeds, 0.0, most), 0.0, most, spots) or mine.why

        return Cell(value, spread, mine.n, mine.seeds, tuple(seeds), one_seed(spots))

    def _chance(self, protocol: str) -> float:
        """Return the accuracy of a random choice on the probe's rows that have choices; 0 where none is made."""
        notes = self.base.runs[0].record.data if self.base and protocol == "choice" else {}
        parts = [notes[part] for part in self.base.runs[0].record.probe_parts if part in notes] if self.base else []
        rows = [(note.probe_chance, note.probe_rows) for note in parts if note.probe_chance is not None]
        return sum(chance * n for chance, n in rows) / sum(n for _, n in rows) if rows else 0.0

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

    def compare(
        self, one: Arm, other: Arm, protocol: str, metric: str, what: Literal["probe", "learned"]
    ) -> Comparison | None:
        """Return one arm's score less another's on the same items; None where there are too few or none."""
        return compare(*(self.spots([arm], protocol, metric, what) for arm in (one, other)))

    def spots(self, arms: Iterable[Arm], protocol: str, metric: str, what: Literal["probe", "learned"]) -> list[Spot]:
        """Return where ``arms`` stand: on the probe at the end, or on each task right after its training."""
        if what == "probe":
            return [Spot(arm, protocol, metric, "probe", self.probe_name, "end") for arm in arms]
        return [Spot(arm, protocol, metric, "task", task, "learned") for arm in arms for task in arm.sequence]


def compare(one: Sequence[Spot], other: Sequence[Spot]) -> Comparison | None:
    """Return the mean of some scores less that of others on the same items; None where there are too few or none."""
    samples = sample_of(one), sample_of(other)
    return statistics.compare(samples[0], samples[1]) if samples[0] and samples[1] else None


def mean_cell(spots: Sequence[Spot]) -> Cell:
    """Return the mean over ``spots`` (tasks, metrics or models), each weighing the same, with its interval.

    Seeds are averaged one by one where all spots have the same; a spot that is missing makes the mean missing.
    """
    found = [spot.scores() for spot in spots]
    seeds = tuple(sorted({seed for spot in spots for seed in spot.arm.seeds}))
    items: dict[tuple[str, str], int] = {}  # a probe scored after several tasks is the same rows
    for spot, one in zip(spots, found, strict=True):
        there = [each[1].n for each in one if each]
        items[spot.role, spot.task] = max([items.get((spot.role, spot.task), 0), *there])
    n = sum(items.values())
    values = [[_number(each, spot.metric) for each in one] for spot, one in zip(spots, found, strict=True)]
    if len({spot.arm.seeds for spot in spots}) > 1:
        values = [[math.fsum(one) / len(one)] for one in values]
    per_seed = tuple(math.fsum(column) / len(column) for column in zip(*values, strict=True))
    value = math.fsum(per_seed) / len(per_seed) if per_seed else MISSING
    if math.isnan(value):
        why = "diverged" if any(spot.arm.diverged for spot in spots) else "not scored"
        return Cell(MISSING, why, n, seeds, per_seed)
    spread, prediction = partial(_spread, tuple(spots), per_seed), partial(_prediction, tuple(spots))
    return Cell(value, spread, n, seeds, per_seed, one_seed(spots), prediction)


def one_seed(spots: Iterable[Spot]) -> bool:
    """Return whether something behind ``spots`` was trained under one seed."""
    return any(not spot.arm.is_base and len(spot.arm.runs) == 1 for spot in spots)


def _prediction(spots: Sequence[Spot]) -> Interval | None:
    sample = sample_of(spots) if all(known(spot.metric).percent for spot in spots) else None
    return statistics.predicted(sample) if sample else None


def _told(found: Interval | None, floor: float, ceiling: float, spots: Sequence[Spot]) -> Spread | None:
    """Return an interval, or what to do where it is all that the number can be at all."""
    if found is None or found.low > floor or found.high < ceiling:
        return found
    count = min(len(spot.arm.runs) for spot in spots if not spot.arm.is_base)
    return f"{count} seeds: add seeds" if count > 1 else "n too small to tell"


def _spread(spots: Sequence[Spot], per_seed: Sequence[float]) -> Spread:
    """Return the interval of the mean of ``spots``, or why there is none."""
    if len(spots) == 1 and spots[0].metric == "perplexity":
        return _perplexity(spots[0]) or "no items to resample, or too few"
    sample = sample_of(spots)
    ends = (0.0, 100.0) if all(known(spot.metric).percent for spot in spots) else (-math.inf, math.inf)
    if sample is None:
        return _told(statistics.seed_interval(per_seed, *ends), *ends, spots) or "no items to resample"
    return _told(statistics.interval(sample, *ends), *ends, spots) or "n too small to tell"


def _perplexity(spot: Spot, base: Spot | None = None) -> Interval | None:
    """Return the interval of a perplexity, or of its retention of the ``base``'s; None where not all texts are there.

    Texts weigh by their tokens, and those of one group count as one text.
    """
    read = [each and each[0].items(each[1]) for one in (spot, base) if one for each in one.scores()]
    there = [items for items in read if items]
    columns = [(items.column("loss"), items.column("tokens")) for items in there]
    known_all = [(nats, count) for nats, count in columns if nats is not None and count is not None]
    if len(known_all) < len(read) or any(items.ids is not there[0].ids for items in there):
        return None
    groups = next((items.groups for items in there if items.groups), None)
    loss, tokens = joined(np.stack([nats for nats, _ in known_all]), np.stack([n for _, n in known_all]), groups)
    if base is None:
        return statistics.perplexity_interval(spot.task, loss, tokens)
    return statistics.perplexity_ratio_interval(spot.task, loss[:-1], loss[-1:], tokens[:-1])


def sample_of(spots: Sequence[Spot]) -> Sample | None:
    """Return the item scores behind the mean of ``spots``, None where a file, a column or an item is missing."""
    found = [spot.arm.stratum(spot.protocol, spot.metric, spot.role, spot.task, spot.at) for spot in spots]
    strata = tuple(stratum for stratum in found if stratum is not None)
    return Sample(strata) if strata and len(strata) == len(found) else None


BY_CHANCE = "the base is not told apart from chance"
"""Why an accuracy may have no retention."""

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

    def spot(j: int, i: int) -> Spot | None:
        """Return task ``j`` after task ``i``, the base's at -1."""
        if i < 0:
            return Spot(study.base, protocol, metric, "task", tasks[j], "end") if study.base else None
        moment = next((m for m in arm.moments if m.finished and m.after == tasks[i]), None)
        return Spot(arm, protocol, metric, "task", tasks[j], moment) if moment else None

    count = range(len(tasks))
    spots = {(i, j): spot(j, i) for i in range(-1, len(tasks)) for j in count}
    scores = {at: one.scores() if one else [] for at, one in spots.items()}

    def matrix(seed: int) -> Floats:
        rows = [[scores[i, j][seed : seed + 1] or [None] for j in count] for i in count]
        return np.array([[_number(found[0], metric) for found in row] for row in rows])

    base = np.array([_number((scores[-1, j] or [None])[0], metric) for j in count])
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
        pairs = [(one, spots[other] if other else None) for at, other in counted[name] if (one := spots[at])]
        n = sum(max((score[1].n for score in one.scores() if score), default=0) for one, _ in pairs)
        found[name] = Cell(value, partial(_contrast_spread, pairs, each), n, arm.seeds, each, len(arm.runs) == 1)
    return found


def _contrast_spread(pairs: Sequence[tuple[Spot, Spot | None]], per_seed: Sequence[float]) -> Spread:
    sample = contrast(pairs)
    ends = (-100.0 if any(other for _, other in pairs) else 0.0, 100.0)
    found = statistics.interval(sample, *ends) if sample else None
    told = _told(found or statistics.seed_interval(per_seed, *ends), *ends, [one for one, _ in pairs])
    return told or "no items to resample, or too few"


def contrast(pairs: Sequence[tuple[Spot, Spot | None]]) -> Sample | None:
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


def make_studies(runs: Iterable[Run]) -> list[Study]:
    """Return the comparable sets that ``runs`` fall into, of each settings and seed the newest record."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(_group(run.record), []).append(run)
    return [_study(members) for _, group in sorted(groups.items()) for members in _by_mode(group)]


def _by_mode(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Yield the runs of each mode with the base model's, which trains nothing and belongs to both."""
    bases = [run for run in runs if run.record.method["name"] == "base"]
    modes = sorted({run.record.mode for run in runs if run.record.method["name"] != "base"})
    for mode in modes:
        trained = (run for run in runs if run.record.mode == mode and run.record.method["name"] != "base")
        yield [*bases, *trained]
    if not modes:
        yield bases


def _group(record: RunRecord) -> tuple[str, ...]:
    """Return what records must share to be compared: experiment, model, how the base is scored, the probe's rows."""
    probe = [str(record.data[part].probe_hash) if part in record.data else "" for part in record.probe_parts]
    model = (record.model["label"], record.model["identity"])
    scored = (record.probe, str(record.limit), record.precision, str(record.context))
    return (record.experiment, *model, *scored, *probe)


def _study(runs: Sequence[Run]) -> Study:
    kept, superseded = _newest(runs)
    bases = [run for run in kept if run.record.method["name"] == "base"]
    trained = sorted((run for run in kept if run.record.method["name"] != "base"), key=_order)
    labels = _labels([run.record for run in trained])
    members: dict[tuple[str, tuple[str, ...]], list[Run]] = {}
    for run in trained:
        members.setdefault((labels[_settings(run.record)], run.record.tasks), []).append(run)
    arms = [
        Arm(method, arm[0].record.method["name"], tasks, tuple(sorted(arm, key=lambda run: run.record.seed)))
        for (method, tasks), arm in members.items()
    ]
    first = (trained or bases)[0].record
    base_tasks = tuple(dict.fromkeys(task for run in bases for task in run.record.tasks))
    return Study(
        experiment=first.experiment,
        model=first.model["label"],
        mode=first.mode,
        probe_name=first.probe,
        limit=first.limit,
        base=Arm("base", "base", base_tasks, tuple(reversed(bases))) if bases else None,
        arms=tuple(arms),
        superseded=superseded,
    )


def _newest(runs: Sequence[Run]) -> tuple[list[Run], int]:
    """Return the newest run of each settings, tasks and seed (of the base model: of each tasks), and how many fell.

    Two of them differ in what is no setting (machine, threads, version) and are no sample of anything together.
    """
    newest: dict[tuple[object, ...], Run] = {}
    for run in sorted(runs, key=_order):
        record = run.record
        base = record.method["name"] == "base"
        newest[("base", record.tasks) if base else (_settings(record), record.tasks, record.seed)] = run
    return list(newest.values()), len(runs) - len(newest)


def _settings(record: RunRecord) -> str:
    """Return what makes two records runs of one thing, but for the seed: the method, its options, its training."""
    return json.dumps([record.method["label"], record.method["options"], record.method["train"]], sort_keys=True)


def _labels(records: Sequence[RunRecord]) -> dict[str, str]:
    """Return how each settings is called: its label, and where several share one, what they differ in."""
    by_label: dict[str, dict[str, dict[str, Any]]] = {}
    for record in records:
        flat = {**record.method["options"], **record.method["train"]}
        by_label.setdefault(record.method["label"], {})[_settings(record)] = flat
    names = {}
    for label, several in by_label.items():
        keys = sorted({key for flat in several.values() for key in flat})
        differing = [key for key in keys if len({json.dumps(flat.get(key)) for flat in several.values()}) > 1]
        for settings, flat in several.items():
            names[settings] = " ".join([label, *(f"{key}={flat.get(key)}" for key in differing)])
    return names


def moment_of(score: Score) -> Moment:
    """Return the moment of a score."""
    return Moment(score.after, score.step, score.finished)


def _order(run: Run) -> tuple[str, str]:
    return (run.record.finished_at, run.record.name)


def _column(run: Run, score: Score, metric: str) -> Scored | None:
    """Return one metric's items; None unless they are there and have the record's mean."""
    items = run.items(score)
    found = None if items is None else items.scored(metric)
    stated = score.values.get(metric)
    if found is None or stated is None or not len(found.values):
        return None
    return found if math.isclose(found.values.sum() / len(found.values), stated, abs_tol=1e-6) else None


def _number(found: tuple[Run, Score] | None, metric: str) -> float:
    value = found[1].values.get(metric) if found else None
    return MISSING if value is None else value


def _read_lines(path: Path | None, holding: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    if path is None or not path.is_file():
        return
    words = [word.encode() for word in holding]
    with open_regular(path) as stream:
        for line in stream:
            if words and not any(word in line for word in words):
                continue  # reading a line as JSON takes far longer than searching it
            try:
                entry = from_json(line)
            except ValueError:
                continue  # a torn line, of a run that was killed while it wrote
            if isinstance(entry, dict):
                yield entry
