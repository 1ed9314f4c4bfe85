"""95 % intervals of scores, ratios, perplexities, and of what one more run would give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secura_bench.report.statistics.resampling import (
    ENOUGH,
    LEVEL,
    drawn,
    enough,
    item_draws,
    quantiles,
    resampled_means,
    welch_draws,
    widening,
)
from secura_bench.report.statistics.samples import Floats, Sample, paired


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def within(self, floor: float, ceiling: float) -> Interval:
        """Return the part between what a number can be at the least and at the most."""
        return Interval(min(max(self.low, floor), ceiling), max(min(self.high, ceiling), floor))


def interval(sample: Sample, floor: float = 0.0, ceiling: float = 100.0) -> Interval | None:
    """Return the interval of a sample's score, None where it has too few items or groups.

    ``floor`` and ``ceiling`` are what the score lies between.
    """
    if not enough(sample):
        return None
    ends = _at_the_ends(sample) if (floor, ceiling) == (0.0, 100.0) else None
    return (ends or Interval(*quantiles(drawn(sample)))).within(floor, ceiling)


def predicted(sample: Sample, floor: float = 0.0, ceiling: float = 100.0) -> Interval | None:
    """Return the 95 % prediction interval of one more run: of one seed, on as many items of its own.

    None where the sample has one seed, so that nothing is known of another, or too few items or groups.
    """
    if sample.items_only or not enough(sample):
        return None
    return Interval(*quantiles(drawn(sample, again=True))).within(floor, ceiling)


def ratio_interval(sample: Sample, base: Sample) -> Interval | None:
    """Return the interval of 100 · sample / base, both resampled on the same items, None where that says nothing.

    It is drawn as 100 · (1 + difference / base): where nothing differs, it is not certain that nothing ever does.
    """
    pair = paired(sample, base)
    if pair is None or not enough(pair[0]) or pair[1].value <= 0:
        return None
    under = item_draws(pair[1], plain=True)
    if not (under > 0).all():
        return None
    low, high = quantiles(100 * (1 + drawn(*pair) / under))
    if ends := _at_the_ends(pair[0]):
        low, high = (
            pick(one, 100 * end / pair[1].value) for pick, one, end in ((min, low, ends.low), (max, high, ends.high))
        )
    return Interval(low, high).within(0.0, 100 * 100 / pair[1].value)


def perplexity_interval(name: str, loss: Floats, tokens: Floats) -> Interval | None:
    """Return the interval of exp(nats / tokens), mean over seeds; ``loss`` in nats a token; both: seeds × texts.

    Seeds move it by a factor: a perplexity is never negative. None where there are too few texts, or texts of no token
    in a resample.
    """
    found = _perplexities(name, loss, tokens)
    return None if found is None else Interval(*(math.exp(end) for end in quantiles(found)))


def perplexity_ratio_interval(name: str, loss: Floats, base: Floats, tokens: Floats) -> Interval | None:
    """Return the interval of 100 · the base's perplexity / perplexity, both on the same texts in each resample.

    ``loss`` and ``base`` are nats a token, seeds × texts and 1 × texts; ``tokens`` has as many rows as ``loss``.
    """
    over, under = _perplexities(name, base, tokens[:1]), _perplexities(name, loss, tokens)
    if over is None or under is None:
        return None
    return Interval(*(100 * math.exp(end) for end in quantiles(over - under)))


def _perplexities(name: str, loss: Floats, tokens: Floats) -> Floats | None:
    """Return draws of the logarithm of a perplexity, deviations by texts widened as ``widening`` has it."""
    if loss.shape[1] < ENOUGH:
        return None
    nats, count = resampled_means(name, loss * tokens), resampled_means(name, tokens)
    if not (count > 0).all():
        return None
    each = (loss * tokens).sum(axis=1) / tokens.sum(axis=1)
    centre = math.log(np.exp(each).mean())
    off = np.log(np.exp(nats / count).mean(axis=0)) - centre
    return np.asarray(centre + widening(loss.shape[1]) * off + welch_draws([each]))


def seed_interval(values: Sequence[float], floor: float = -math.inf, ceiling: float = math.inf) -> Interval | None:
    """Return Student's t interval over seeds, for scores without items (corpus metrics); None below two seeds.

    ``floor`` and ``ceiling`` are what the scores lie between.
    """
    found = np.asarray(values, dtype=float)
    if len(found) < 2:
        return None
    return Interval(*quantiles(found.mean() + welch_draws([found]))).within(floor, ceiling)


def _at_the_ends(sample: Sample) -> Interval | None:
    """Return the interval of items that score 0 or 100 throughout, in which the bootstrap sees no spread.

    The bound is Clopper and Pearson's (1934) for none (or all) of n groups; of some strata at 0 and others at 100,
    their mean. None where any item scores otherwise.
    """
    zero = [stratum for stratum in sample.strata if (stratum.values == 0).all()]
    full = [stratum for stratum in sample.strata if (stratum.values == 100).all()]
    if len(zero) + len(full) < len(sample.strata):
        return None
    below, above = (_unseen(sum({s.name: s.n_groups for s in side}.values())) for side in (full, zero))
    highest = 100 * len(full) / len(sample.strata)
    return Interval(highest * (1 - below), highest + (100 - highest) * above)


def _unseen(n: int) -> float:
    """Return how large a share may be of which nothing was seen in ``n``, 0 of no items at all."""
    return 1 - ((1 - LEVEL) / 2) ** (1 / n) if n else 0.0
