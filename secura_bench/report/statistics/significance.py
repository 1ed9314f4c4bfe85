"""Which differences are more than chance: one pair, equality at a margin, all methods at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secura_bench.report.statistics.intervals import Interval
from secura_bench.report.statistics.resampling import (
    DRAWS,
    RESAMPLES,
    drawn,
    enough,
    item_draws,
    quantiles,
    seed_error,
    widening,
)
from secura_bench.report.statistics.samples import Floats, Sample, matched, paired


@dataclass(frozen=True)
class Comparison:
    """A difference on the same items: ``p`` is two-sided, ``test`` says by which test.

    ``least`` is the smallest p that these items could have given. ``items_only``: a side was trained under one seed,
    and what another would change is neither in the interval nor in p. ``n`` items in ``groups`` were compared.
    """

    difference: float
    interval: Interval
    p: float
    test: str
    least: float
    items_only: bool = False
    n: int = 0
    groups: int = 0


def compare(one: Sample, other: Sample) -> Comparison | None:
    """Return one − other on the items that both were scored on, None where they are too few.

    Seeds of the two are independent, whatever their numbers. Accuracy of one run against another's on one task, of
    items without groups, is tested by McNemar's exact test, all else by the bootstrap.
    """
    pair = paired(one, other)
    if pair is None or not enough(pair[0]):
        return None
    draws = drawn(*pair)
    gap = pair[0].value - pair[1].value
    most = math.inf if any(stratum.nat for stratum in one.strata) else 100.0
    stated = Interval(*quantiles(draws)).within(-most, most)
    told = (pair[0].items_only or pair[1].items_only, pair[0].n, _groups(pair[0]))
    if counts := _discordant(pair):
        return Comparison(gap, stated, mcnemar(*counts), "McNemar exact", mcnemar(sum(counts), 0), *told)
    p = min(1.0, 2 * min(share(draws <= 0), share(draws >= 0)))
    return Comparison(gap, stated, p, "paired bootstrap", 2 / (RESAMPLES + 1), *told)


def equivalence(one: Sample, other: Sample, margin: float) -> float | None:
    """Return the p of two one-sided tests that one − other lies within ±``margin`` (Schuirmann 1987).

    The greater of both; from the draws that ``compare`` has its interval from. None where items are too few.
    """
    pair = paired(one, other)
    if pair is None or not enough(pair[0]):
        return None
    draws = drawn(*pair)
    return max(share(draws <= -margin), share(draws >= margin))


def mcnemar(better: int, worse: int) -> float:
    """Return the two-sided p of McNemar's exact test (McNemar 1947): ``better`` and ``worse`` items that disagree."""
    n = better + worse
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / 2**n)


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values (Holm 1979), in the order of ``p``: the family-wise error is held."""
    found = np.asarray(p, dtype=float)
    order = np.argsort(found, kind="stable")
    steps = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]


def told_from_best(samples: Sequence[Sample], sign: int = 1) -> list[float] | None:
    """Return for each sample the p of its being told from the best of them, 1 for the best itself.

    By a bootstrap of the maximum (Westfall and Young 1993, section 2): the distance to the best in standard errors is
    held against the greatest such distance between any two samples, were all alike. Each pair has its own standard
    error, which is drawn as well (Games and Howell 1976, J. Educ. Stat. 1, 113): few seeds are unsure of their spread.
    So of equal methods one in twenty tables tells any apart; Hsu's procedure (1984), which holds only that the best is
    among the best, would tell some apart in more. ``sign`` is -1 where less is better. None where two of them share
    too few items.
    """
    count = len(samples)
    rng = np.random.default_rng([RESAMPLES, count])
    seeds = [seed_error([sample]) for sample in samples]
    moved = [error * rng.standard_normal(DRAWS) for error, _ in seeds]
    variances = [_variances(rng, error, freedom) for error, freedom in seeds]
    groups = min((stratum.effective_groups for sample in samples for stratum in sample.strata), default=1.0)
    freedom_of_items = groups - 1 if groups > 1 else math.inf
    greatest = np.zeros(DRAWS)
    distance = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            pair = paired(samples[i], samples[j])
            if pair is None or not enough(pair[0]):
                return None
            items = item_draws(*pair)
            gap = float(items.mean())
            off = (items - gap) / widening(groups)  # which widens intervals; here the spread itself is drawn
            spread = float(off.var())
            error = math.sqrt(spread + seeds[i][0] ** 2 + seeds[j][0] ** 2)
            if error == 0:
                continue
            errors = np.sqrt(_variances(rng, math.sqrt(spread), freedom_of_items) + variances[i] + variances[j])
            greatest = np.maximum(greatest, np.abs(off + moved[i] - moved[j]) / errors)
            distance[i, j] = gap / error
            distance[j, i] = -gap / error
    best = max(range(count), key=lambda i: sign * samples[i].value)
    return [1.0 if i == best else share(greatest >= sign * distance[best, i]) for i in range(count)]


def _variances(rng: np.random.Generator, error: float, freedom: float) -> Floats:
    """Return what others would give for the squared standard ``error`` of a mean over seeds, or over items."""
    return error**2 * (np.ones(DRAWS) if math.isinf(freedom) else rng.chisquare(freedom, DRAWS) / freedom)


def _discordant(pair: tuple[Sample, Sample]) -> tuple[int, int] | None:
    """Return how many items the one side alone has right, and the other; None where that is no test of the difference.

    It is none of several tasks (of which one probe may stand behind each), of several runs, of items in groups.
    """
    found = list(matched(pair))
    if len(found) != 1:
        return None
    a, b = found[0]
    if len(a.values) > 1 or len(b.values) > 1 or a.groups or b.groups or not (a.binary and b.binary):
        return None
    gaps: Floats = a.values[0] - b.values[0]
    return int((gaps > 0).sum()), int((gaps < 0).sum())


def _groups(sample: Sample) -> int:
    return sum({stratum.name: stratum.n_groups for stratum in sample.strata}.values())


def share(hits: np.ndarray) -> float:
    """Return the share of draws that hit, the observed one counted in, to either side: no p from draws is 0."""
    return (2 + int(hits.sum())) / (len(hits) + 2)
