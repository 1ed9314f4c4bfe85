"""What of the probe's score is kept, in percent of the untouched model's, and why nothing may be said to be."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.report import statistics
from secura_bench.report.statistics import Interval
from secura_bench.report.study.cells import (
    Cell,
    ScoreKey,
    Spread,
    as_told,
    mean_cell,
    one_seed,
    perplexity_of,
    sample_of,
)
from secura_bench.report.study.protocols import metric as known

BY_CHANCE, BASE_SCORES_NONE = "the base is not told apart from chance", "the base scores 0"
NEAR_ZERO = "the base's score is too near 0"
"""Why a score may have no retention, or one without an interval."""


def retention(keys: Sequence[ScoreKey], metric: str, base: Cell, under: ScoreKey | None, chance: float) -> Cell:
    """Return the mean over ``keys`` as percent of the ``base``'s, which stands at ``under``; resampled on its items.

    Of perplexity, which is better the lower it is: the base's as percent of it. None of an accuracy of which the base
    has no more than ``chance``: there is nothing that could be kept.
    """
    mine = mean_cell(keys)
    lower = metric == "perplexity"
    if mine.missing or base.missing or base.value <= 0 or not (lower or known(metric).percent):
        why = mine.why if mine.missing else "the base's record is missing" if base.missing else BASE_SCORES_NONE
        return Cell(spread=why, n=mine.n, seeds=mine.seeds)
    if (metric.startswith("accuracy") or metric == "score") and (base.low if base.interval else base.value) <= chance:
        return Cell(spread=BY_CHANCE, n=mine.n, seeds=mine.seeds)
    value, *seeds = (100 * (base.value / v if lower else v / base.value) for v in (mine.value, *mine.per_seed))
    if all(key.arm.is_base for key in keys):
        return Cell(value, Interval(value, value), mine.n, (), tuple(seeds))
    most = 100 * 100 / base.value

    def spread() -> Spread:
        if lower:
            return (perplexity_of(keys[0], under) if len(keys) == 1 else None) or "no items to resample, or too few"
        one, other = sample_of(keys), sample_of([under]) if under else None
        if one and other:
            return as_told(statistics.ratio_interval(one, other), 0.0, most, keys) or mine.why or NEAR_ZERO
        return as_told(statistics.seed_interval(seeds, 0.0, most), 0.0, most, keys) or mine.why

    return Cell(value, spread, mine.n, mine.seeds, tuple(seeds), one_seed(keys))
