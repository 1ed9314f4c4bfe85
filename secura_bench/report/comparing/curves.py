"""Two methods beside one another at equal learning: each as the curve of its settings, by one protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from secura_bench.foundation.errors import BenchError
from secura_bench.report.comparing.pair import MARGIN, Pair, Told, pairs
from secura_bench.report.statistics.frontier import Level
from secura_bench.report.study.choosing import check_names, find_methods, one_method
from secura_bench.report.study.families import Family, families, family_of
from secura_bench.report.study.frontier import Frontier, Line, frontier_of
from secura_bench.report.study.protocols import PROTOCOLS, Metric, Protocol
from secura_bench.report.study.ranking import ALPHA
from secura_bench.report.study.study import Study


@dataclass(frozen=True, eq=False)
class Curves:
    """Two methods of a study by one protocol, as curves (one may be a single point); ``among`` how many are there."""

    frontier: Frontier
    margin: float
    among: int

    @property
    def study(self) -> Study:
        """The study that both are of."""
        return self.frontier.study

    @property
    def protocol(self) -> Protocol:
        """The protocol that both were scored by."""
        return self.frontier.protocol

    @property
    def metric(self) -> Metric:
        """The metric that speaks for it."""
        return self.frontier.metric

    @property
    def one(self) -> Line:
        """The first method."""
        return self.frontier.lines[0]

    @property
    def other(self) -> Line:
        """The other."""
        return self.frontier.lines[1]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that both were trained on, in order."""
        return tuple(dict.fromkeys(task for each in self.one.placings for arm in each.arms for task in arm.sequence))

    @property
    def shared(self) -> tuple[float, float] | None:
        """The least and the most that both learned, None where that is nothing."""
        return self.frontier.common(self.one, self.other)

    @cached_property
    def gap(self) -> Level | None:
        """By how much the first keeps more, mean over what both learned; None where that is nothing."""
        return self.frontier.gap(self.one, self.other)

    @property
    def told(self) -> Told:
        """What the test says: ``open`` is not told apart, and of ``one seed`` nothing follows for the methods."""
        if self.gap is None or self.gap.p is None:
            return "untested"
        if self.gap.items_only:
            return "one seed"
        if self.gap.p >= ALPHA:
            return "open"
        return "more" if self.gap.value > 0 else "less"

    @cached_property
    def equal(self) -> float | None:
        """The p of two one-sided tests that the difference lies within ±``margin``; None where none was made."""
        return self.gap.equal(self.margin) if self.gap else None

    @property
    def within(self) -> bool:
        """Whether the two are shown to keep the same within the margin."""
        return self.equal is not None and self.equal < ALPHA and self.told != "one seed"


def compared(studies: Sequence[Study], one: str, other: str, margin: float = MARGIN) -> tuple[list[Curves], list[Pair]]:
    """Return two methods beside one another: at equal learning where either has several settings, else as ``pairs``.

    Raises:
        BenchError: A name is unknown, means several settings of one label, or both mean the same.
    """
    if one == other and any(family_of(study, one) for study in studies):
        raise BenchError(f"{one} and {other} are the same method.")
    check_names(studies, [one, other], "")
    found = [curves for study in studies for curves in _curves(study, one, other, margin)]
    there = {id(each.study) for each in found}
    left = [study for study in studies if id(study) not in there or {one, other} <= set(study.methods)]
    if found and not any(find_methods(study, one) and find_methods(study, other) for study in left):
        return found, []
    return found, pairs(left, one, other, margin)


def curves_of(study: Study, protocol: Protocol, one: Family, other: Family, margin: float = MARGIN) -> Curves | None:
    """Return two families of a study by a protocol, None where either has no place by it."""
    found = frontier_of(study, protocol, [one, other])
    return Curves(found, margin, len(families(study))) if found and len(found.lines) == 2 else None


def _curves(study: Study, one: str, other: str, margin: float) -> list[Curves]:
    if not (family_of(study, one) or family_of(study, other)):
        return []
    first, second = _meant(study, one), _meant(study, other)
    if first is None or second is None:
        return []
    protocols = (PROTOCOLS[name] for name in study.protocols if name in PROTOCOLS)
    found = (curves_of(study, protocol, first, second, margin) for protocol in protocols)
    return [each for each in found if each]


def _meant(study: Study, name: str) -> Family | None:
    """Return the family of that name, or the method as one of a single setting; None where there is neither."""
    if family := family_of(study, name):
        return family
    method = one_method(study, name, "")
    return Family(method, "", (method,), (math.nan,)) if method and method != "base" else None
