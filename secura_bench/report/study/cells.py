"""One number of a table: a value, its interval, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from secura_bench.report import statistics
from secura_bench.report.statistics import Interval, Sample
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.items import joined
from secura_bench.report.study.protocols import metric as known
from secura_bench.report.study.runs import Role, Run, WhenScored
from secura_bench.results.record import Score

MISSING = math.nan
Spread = Interval | str
"""An interval, or why there is none."""


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
class ScoreKey:
    """Where a score stands: of which runs, by which protocol and metric, on which rows, at which moment."""

    arm: Arm
    protocol: str
    metric: str
    role: Role
    task: str
    at: WhenScored

    def scores(self) -> list[tuple[Run, Score] | None]:
        """Return the score of each seed with its run, None where it is missing."""
        return self.arm.scores(self.protocol, self.role, self.task, self.at)


def mean_cell(keys: Sequence[ScoreKey]) -> Cell:
    """Return the mean over ``keys`` (tasks, metrics or models), each weighing the same, with its interval.

    Seeds are averaged one by one where all keys have the same; a key that is missing makes the mean missing.
    """
    found = [key.scores() for key in keys]
    seeds = tuple(sorted({seed for key in keys for seed in key.arm.seeds}))
    items: dict[tuple[str, str], int] = {}  # a probe scored after several tasks is the same rows
    for key, one in zip(keys, found, strict=True):
        there = [each[1].n for each in one if each]
        items[key.role, key.task] = max([items.get((key.role, key.task), 0), *there])
    n = sum(items.values())
    values = [[number_of(each, key.metric) for each in one] for key, one in zip(keys, found, strict=True)]
    if len({key.arm.seeds for key in keys}) > 1:
        values = [[math.fsum(one) / len(one)] for one in values]
    per_seed = tuple(math.fsum(column) / len(column) for column in zip(*values, strict=True))
    value = math.fsum(per_seed) / len(per_seed) if per_seed else MISSING
    if math.isnan(value):
        why = "diverged" if any(key.arm.diverged for key in keys) else "not scored"
        return Cell(MISSING, why, n, seeds, per_seed)
    spread, prediction = partial(_spread, tuple(keys), per_seed), partial(_prediction, tuple(keys))
    return Cell(value, spread, n, seeds, per_seed, one_seed(keys), prediction)


def one_seed(keys: Iterable[ScoreKey]) -> bool:
    """Return whether something behind ``keys`` was trained under one seed."""
    return any(not key.arm.is_base and len(key.arm.runs) == 1 for key in keys)


def _prediction(keys: Sequence[ScoreKey]) -> Interval | None:
    sample = sample_of(keys) if all(known(key.metric).percent for key in keys) else None
    return statistics.predicted(sample) if sample else None


def as_told(found: Interval | None, floor: float, ceiling: float, keys: Sequence[ScoreKey]) -> Spread | None:
    """Return an interval, or what to do where it is all that the number can be at all."""
    if found is None or found.low > floor or found.high < ceiling:
        return found
    count = min(len(key.arm.runs) for key in keys if not key.arm.is_base)
    return f"{count} seeds: add seeds" if count > 1 else "n too small to tell"


def _spread(keys: Sequence[ScoreKey], per_seed: Sequence[float]) -> Spread:
    """Return the interval of the mean of ``keys``, or why there is none."""
    if len(keys) == 1 and keys[0].metric == "perplexity":
        return perplexity_of(keys[0]) or "no items to resample, or too few"
    sample = sample_of(keys)
    ends = (0.0, 100.0) if all(known(key.metric).percent for key in keys) else (-math.inf, math.inf)
    if sample is None:
        return as_told(statistics.seed_interval(per_seed, *ends), *ends, keys) or "no items to resample"
    return as_told(statistics.interval(sample, *ends), *ends, keys) or "n too small to tell"


def perplexity_of(key: ScoreKey, base: ScoreKey | None = None) -> Interval | None:
    """Return the interval of a perplexity, or of its retention of the ``base``'s; None where not all texts are there.

    Texts weigh by their tokens, and those of one group count as one text.
    """
    read = [each and each[0].items(each[1]) for one in (key, base) if one for each in one.scores()]
    there = [items for items in read if items]
    columns = [(items.column("loss"), items.column("tokens")) for items in there]
    known_all = [(nats, count) for nats, count in columns if nats is not None and count is not None]
    if len(known_all) < len(read) or any(items.ids is not there[0].ids for items in there):
        return None
    groups = next((items.groups for items in there if items.groups), None)
    loss, tokens = joined(np.stack([nats for nats, _ in known_all]), np.stack([n for _, n in known_all]), groups)
    if base is None:
        return statistics.perplexity_interval(key.task, loss, tokens)
    return statistics.perplexity_ratio_interval(key.task, loss[:-1], loss[-1:], tokens[:-1])


def sample_of(keys: Sequence[ScoreKey]) -> Sample | None:
    """Return the item scores behind the mean of ``keys``, None where a file, a column or an item is missing."""
    found = [key.arm.stratum(key.protocol, key.metric, key.role, key.task, key.at) for key in keys]
    strata = tuple(stratum for stratum in found if stratum is not None)
    return Sample(strata) if strata and len(strata) == len(found) else None


def number_of(found: tuple[Run, Score] | None, metric: str) -> float:
    """Return what a run scored in a metric; NaN where it did not."""
    value = found[1].values.get(metric) if found else None
    return MISSING if value is None else value
