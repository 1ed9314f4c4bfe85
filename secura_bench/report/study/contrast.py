"""One score of two methods beside one another, on the same items: how far apart, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from secura_bench.report import statistics
from secura_bench.report.statistics import Comparison, Components, Interval, Sample
from secura_bench.report.study.cells import ScoreKey, mean_cell, sample_of
from secura_bench.report.study.nats import PERPLEXITY, kept_of, nats_of


@dataclass(frozen=True)
class Contrast:
    """The item scores of two methods, whose means differ by d: the difference that is told is ``scale`` · d.

    Of ``logarithms`` it is ``scale`` · (exp d − 1), by how much the first is more than the other.
    """

    one: Sample
    other: Sample
    scale: float = 1.0
    logarithms: bool = False

    def compare(self) -> Comparison | None:
        """Return one − other; None where they share too few items."""
        found = statistics.compare(self.one, self.other)
        if found is None:
            return None
        interval = Interval(self._told(found.interval.low), self._told(found.interval.high))
        return replace(found, difference=self._told(found.difference), interval=interval)

    def equal(self, margin: float) -> float | None:
        """Return the p of two one-sided tests that the difference lies within ±``margin``; None as above."""
        own = margin / self.scale
        return statistics.equivalence(self.one, self.other, math.log1p(own) if self.logarithms else own)

    @property
    def components(self) -> Components | None:
        """What the variance of d comes from; None as above."""
        return statistics.components_of(self.one, self.other)

    def _told(self, d: float) -> float:
        return self.scale * (math.expm1(d) if self.logarithms else d)


def items_of(keys: Sequence[ScoreKey]) -> Sample | None:
    """Return the item scores behind the mean of ``keys``: of a perplexity nats a token. None where some are missing."""
    return nats_of(keys) if keys and keys[0].metric == PERPLEXITY else sample_of(keys)


def contrast_of(one: Sequence[ScoreKey], other: Sequence[ScoreKey], base: ScoreKey | None = None) -> Contrast | None:
    """Return the mean of some scores beside that of others; None where items are missing.

    In points of the metric (a perplexity: in percent of the other's, for seeds and texts move it by a factor), or in
    percent of the ``base`` model's score, which counts as exact. Of a perplexity these are of the base's on the same
    texts in percent of the method's, so that more is better.
    """
    perplexity = bool(one) and one[0].metric == PERPLEXITY
    if perplexity and base is not None:
        first, second = kept_of(one, base), kept_of(other, base)
    else:
        first, second = items_of(one), items_of(other)
    if first is None or second is None:
        return None
    if perplexity:
        return Contrast(first, second) if base else Contrast(first, second, 100.0, logarithms=True)
    return Contrast(first, second, 100 / mean_cell([base]).value if base else 1.0)


def compare(one: Sequence[ScoreKey], other: Sequence[ScoreKey], base: ScoreKey | None = None) -> Comparison | None:
    """Return the mean of some scores less that of others on the same items; None where they are too few or missing.

    The units are those of ``contrast_of``.
    """
    found = contrast_of(one, other, base)
    return found.compare() if found else None
