"""Methods at equal learning: what each keeps along its settings, where they learn the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np

from secura_bench.report.statistics import Floats, Sample, holm
from secura_bench.report.statistics.frontier import (
    Level,
    Lines,
    Point,
    Scale,
    beaten,
    common,
    gap_at,
    held_at,
    level,
    mean_gap,
    useful,
)
from secura_bench.report.study.cells import Cell, ScoreKey
from secura_bench.report.study.contrast import items_of
from secura_bench.report.study.families import Family, families
from secura_bench.report.study.nats import PERPLEXITY
from secura_bench.report.study.placing import Placing, learned_by, placings
from secura_bench.report.study.protocols import PROTOCOLS, Metric, Protocol
from secura_bench.report.study.ranking import ALPHA
from secura_bench.report.study.speaking import speaking
from secura_bench.report.study.study import Study

FEW = "items are too few, or not recorded"
NARROW = "other items would often leave nothing in common"
"""Why a number at equal learning may have no interval."""
BETWEEN = "interpolate"
"""The setting of points that are one training's, scored at several weights between the base and its end."""
Kept = Literal["keeps more", "keeps less", "not told apart", "one seed", "n too small to tell", "nothing in common"]


@dataclass(frozen=True, eq=False)
class Line:
    """A family as a curve: its settings that have a place, from gentle to strong, as placings, values and item scores.

    ``lacking``: its methods that have none. ``points`` are None where items are not recorded.
    """

    family: Family
    placings: tuple[Placing, ...]
    values: tuple[float, ...]
    kept: tuple[Cell, ...]
    points: tuple[Point, ...] | None
    lacking: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the family is called."""
        return self.family.name

    @property
    def learned(self) -> tuple[float, float]:
        """The least and the most that was learned along the curve."""
        learned, _ = self.numbers
        return float(learned.min()), float(learned.max())

    @property
    def beaten(self) -> tuple[str, ...]:
        """The methods past the curve's end: stronger than the one that learned most, they learned and kept less."""
        out = beaten(*self._numbers)[:, 0]
        return tuple(each.method for each, left in zip(self.placings, out, strict=True) if left)

    @property
    def on_the_edge(self) -> bool:
        """Whether it learned most at its strongest setting, so that more may be learned beyond the grid."""
        learned = [each.learned.value for each in self.placings]
        return len(learned) > 1 and learned[-1] == max(learned)

    @property
    def seeds(self) -> tuple[int, int]:
        """The least and the most seeds behind a point."""
        counts = [len(arm.runs) for each in self.placings for arm in each.arms]
        return min(counts), max(counts)

    @property
    def numbers(self) -> tuple[Floats, Floats]:
        """Learned and kept along the curve, each settings × 1."""
        return useful(*self._numbers)

    @property
    def _numbers(self) -> tuple[Floats, Floats]:
        learned = np.array([[each.learned.value] for each in self.placings])
        return learned, np.array([[cell.value] for cell in self.kept])


@dataclass(frozen=True, eq=False)
class Against:
    """A curve beside the first: how much more it keeps, mean over what both learned, and what follows from it.

    ``adjusted``: its p over all curves of several seeds (Holm 1979).
    """

    line: Line
    gap: Level | None
    adjusted: float | None

    @property
    def verdict(self) -> Kept:
        """What may be said of it."""
        if self.gap is None:
            return "nothing in common"
        if self.gap.p is None:
            return "n too small to tell"
        if self.gap.items_only or self.adjusted is None:
            return "one seed"
        return "not told apart" if self.adjusted >= ALPHA else "keeps more" if self.gap.value > 0 else "keeps less"


@dataclass(frozen=True, eq=False)
class Frontier:
    """The curves of one study by one protocol, by the ``metric`` that speaks for it (``instead`` of the main one: why).

    ``base`` is the untouched model's probe, in percent of which ``in_percent`` what is kept is told. What was learned
    is told by the protocol ``learning`` and its metric ``learned``: the same, or another where that scores no task.
    """

    study: Study
    protocol: Protocol
    metric: Metric
    instead: str
    lines: tuple[Line, ...]
    in_percent: bool
    base: Sample | None
    learning: Protocol
    learned: Metric

    @property
    def unit(self) -> str:
        """The unit of a difference in what is kept."""
        return "percent points" if self.in_percent else f"points of {self.metric.heading}"

    @property
    def elsewhere(self) -> str:
        """By what learning is told, "" where it is by the same as what was kept."""
        if self.learning.id == self.protocol.id:
            return ""
        return f"{self.learning.heading} {self.learned.heading}"

    @cached_property
    def at(self) -> float:
        """The learning at which all are told of: the middle of what all learned, or else of what the first did."""
        low, high = (float(end[0]) for end in common([line.numbers for line in self.lines]))
        return (low + high) / 2 if low <= high else sum(self.lines[0].learned) / 2

    def common(self, one: Line, other: Line) -> tuple[float, float] | None:
        """Return the least and the most that both learned, None where that is nothing."""
        low, high = (float(end[0]) for end in common([one.numbers, other.numbers]))
        return (low, high) if low <= high else None

    def reaches(self, line: Line) -> bool:
        """Whether a line was at ``at`` between its least and its most learning."""
        return line.learned[0] <= self.at <= line.learned[1]

    def kept(self, line: Line) -> Level | None:
        """Return what a line keeps at ``at``, None where it does not reach."""
        return self._level([line], partial(_first_held, at=self.at)) if self.reaches(line) else None

    def gap_at(self, one: Line, other: Line) -> Level | None:
        """Return by how much one line keeps more at ``at``, None where either does not reach."""
        if not (self.reaches(one) and self.reaches(other)):
            return None
        return self._level([one, other], partial(gap_at, at=self.at))

    def gap(self, one: Line, other: Line) -> Level | None:
        """Return by how much one line keeps more, mean over what both learned; None where that is nothing."""
        return self._level([one, other], mean_gap)

    @cached_property
    def against_first(self) -> tuple[Against, ...]:
        """The other curves beside the first."""
        first, *others = self.lines
        gaps = [self.gap(line, first) for line in others]
        tested = [(i, gap.p) for i, gap in enumerate(gaps) if gap and gap.p is not None and not gap.items_only]
        adjusted = dict(zip([i for i, _ in tested], holm([p for _, p in tested]), strict=True))
        return tuple(
            Against(line, gap, adjusted.get(i)) for i, (line, gap) in enumerate(zip(others, gaps, strict=True))
        )

    def _level(self, lines: Sequence[Line], of: Callable[[Lines], Floats]) -> Level | None:
        points = [line.points for line in lines]
        base = self.base if self.in_percent else None
        if all(points) and not (self.in_percent and base is None):
            return level([each for each in points if each], Scale(base, self.metric.id == PERPLEXITY), of)
        value = float(of([line.numbers for line in lines])[0])
        return None if np.isnan(value) else Level(value)


def every_frontier(study: Study, reference: str = "") -> list[Frontier]:
    """Return the frontiers of a study, one a known protocol under which two settings of a method have a place."""
    mine = sorted(families(study), key=lambda family: family.name != reference)
    found = (frontier_of(study, PROTOCOLS[name], mine) for name in study.protocols if name in PROTOCOLS)
    return [each for each in found if each]


def frontier_of(study: Study, protocol: Protocol, among: Sequence[Family]) -> Frontier | None:
    """Return the curves of ``among``, in their order; None where fewer than two points of any have a place.

    There are none by a metric that is better the lower it is, but for perplexity in percent of the base's.
    """
    metric, instead = speaking(study, protocol)
    learning, learned = learned_by(study, protocol)
    if not among or not (metric.percent or metric.id == PERPLEXITY):
        return None
    methods = {method for family in among for method in family.methods}
    by = learning.id, learned
    found = {each.method: each for each in placings(study, protocol.id, metric, by, methods)}
    in_percent = any(not each.retention.missing for each in found.values())
    if not (in_percent or metric.percent):
        return None
    sequences = {arm.sequence for each in found.values() for arm in each.arms}
    key = ScoreKey(study.base, protocol.id, metric.id, "probe", study.probe_name, "end") if study.base else None
    base = items_of([key]) if key else None

    def line(family: Family) -> Line:
        mine = [(found[method], value) for method, value in zip(family.methods, family.values, strict=True)]
        mine = mine[::-1] if _falls(family, [_kept(each, in_percent).value for each, _ in mine]) else mine
        there = [
            (each, value)
            for each, value in mine
            if not (each.learned.missing or _kept(each, in_percent).missing)
            and {arm.sequence for arm in each.arms} == sequences
        ]
        placed = tuple(each for each, _ in there)
        alike = len({arm.seeds for each in placed for arm in each.arms}) == 1
        training = family.name if family.key == BETWEEN and alike else ""
        points = [_point(study, (protocol, metric), (learning, learned), each, training) for each in placed]
        return Line(
            family,
            placed,
            tuple(value for _, value in there),
            tuple(_kept(each, in_percent) for each in placed),
            tuple(each for each in points if each) if all(points) else None,
            tuple(each.method for each, _ in mine if each not in placed),
        )

    lines = tuple(each for each in map(line, among) if each.placings)
    if not any(len(each.placings) > 1 for each in lines):
        return None
    return Frontier(study, protocol, metric, instead, lines, in_percent, base, learning, learned)


def _kept(each: Placing, in_percent: bool) -> Cell:
    return each.retention if in_percent else each.probe


def _falls(family: Family, kept: Sequence[float]) -> bool:
    """Return whether a greater value is a gentler one: of a method's option, where its greatest keeps more."""
    known = [value for value in kept if not math.isnan(value)]
    return family.key.startswith("methods.") and len(known) > 1 and known[-1] > known[0]


def _point(
    study: Study, kept_by: tuple[Protocol, Metric], learned_by: tuple[Protocol, Metric], each: Placing, training: str
) -> Point | None:
    (protocol, metric), (learning, told) = kept_by, learned_by
    learned = items_of(study.score_keys(each.arms, learning.id, told.id, "learned"))
    kept = items_of(study.score_keys(each.arms, protocol.id, metric.id, "probe"))
    return Point(learned, kept, training) if learned and kept else None


def _first_held(lines: Lines, at: float) -> Floats:
    return held_at(lines[0], at)
