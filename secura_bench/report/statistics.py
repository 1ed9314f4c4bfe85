"""How sure a score is: bootstrap intervals, paired differences, McNemar, Holm. Pure functions of arrays.

Items are resampled with replacement (Efron 1979); items of one name are drawn alike everywhere, so that whatever is
scored on the same items is compared pairwise. Where there are several seeds, each resample also moves by a draw of
Student's t with the seeds' standard error: a resample of three seeds cannot see beyond the three.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

LEVEL = 0.95
RESAMPLES = 1000
ENOUGH = 20
"""Fewer items than this carry no bootstrap interval: too few values for their tails to be seen."""


@dataclass(frozen=True)
class Stratum:
    """Scores of the same items under several seeds: ``values`` is seeds × items, ``ids`` names the items.

    ``name`` (a task's) chooses the resamples: strata of one name and size are resampled alike. ``runs`` tells the runs
    apart that are scored: of one and the same runs, a seed moves all strata together; of others, on its own. ``groups``
    names the group of each item, of which all are drawn together; None where every item is drawn by itself.
    """

    name: str
    ids: tuple[str, ...]
    values: Floats
    runs: str = ""
    groups: tuple[str, ...] | None = None

    def only(self, ids: Sequence[str]) -> Stratum:
        """Return the stratum of ``ids`` alone, in their order."""
        if tuple(ids) == self.ids:
            return self
        where = {id_: i for i, id_ in enumerate(self.ids)}
        kept = [where[id_] for id_ in ids]
        groups = self.groups and tuple(self.groups[i] for i in kept)
        return replace(self, ids=tuple(ids), values=self.values[:, kept], groups=groups)


@dataclass(frozen=True)
class Sample:
    """One score: the mean over ``strata`` (tasks, each weighing the same) of the mean over items and seeds."""

    strata: tuple[Stratum, ...]

    @property
    def n(self) -> int:
        """How many items there are."""
        return sum(len(stratum.ids) for stratum in self.strata)

    @property
    def value(self) -> float:
        """The score, mean over seeds."""
        return math.fsum(float(stratum.values.mean()) for stratum in self.strata) / len(self.strata)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Comparison:
    """A difference on the same items: ``p`` is two-sided, ``test`` says by which test.

    ``least`` is the smallest p that these items could have given.
    """

    difference: float
    interval: Interval
    p: float
    test: str
    least: float


def interval(sample: Sample, percent: bool = True) -> Interval | None:
    """Return the interval of a sample's score, None where it has too few items.

    ``percent``: scores lie between 0 and 100, and so does the interval.
    """
    if min(len(stratum.ids) for stratum in sample.strata) < ENOUGH:
        return None
    drawn = _items(sample) + _other_seeds(sample)
    low, high = _quantiles(drawn)
    if percent:
        low, high = _at_the_ends(sample, max(low, 0.0), min(high, 100.0))
    return Interval(low, high)


def ratio_interval(sample: Sample, base: Sample) -> Interval | None:
    """Return the interval of 100 · sample / base, both resampled on the same items, None where that says nothing."""
    pair = _paired(sample, base)
    if pair is None or min(len(stratum.ids) for stratum in pair[0].strata) < ENOUGH:
        return None
    over = _items(pair[0]) + _other_seeds(pair[0])
    under = _items(pair[1])
    if not (under > 0).all() or base.value <= 0:
        return None
    low, high = _quantiles(100 * over / under)
    floor, ceiling = _at_the_ends(pair[0], low, high)
    if ceiling > high or floor < low:  # the bootstrap saw no spread above the line: scale what a proportion allows
        low, high = min(low, 100 * floor / base.value), max(high, 100 * ceiling / base.value)
    return Interval(max(low, 0.0), high)


def perplexity_interval(name: str, loss: Floats, tokens: Floats) -> Interval | None:
    """Return the interval of exp(nats / tokens), mean over seeds; ``loss`` in nats a token; both: seeds × texts.

    Seeds move it by a factor: a perplexity is never negative. None where there are too few texts, or texts of no token
    in a resample.
    """
    drawn = _perplexities(name, loss, tokens)
    return None if drawn is None else Interval(*_quantiles(drawn))


def perplexity_ratio_interval(name: str, loss: Floats, base: Floats, tokens: Floats) -> Interval | None:
    """Return the interval of 100 · the base's perplexity / perplexity, both on the same texts in each resample.

    ``loss`` and ``base`` are nats a token, seeds × texts and 1 × texts; ``tokens`` has as many rows as ``loss``.
    """
    over, under = _perplexities(name, base, tokens[:1]), _perplexities(name, loss, tokens)
    return None if over is None or under is None else Interval(*_quantiles(100 * over / under))


def _perplexities(name: str, loss: Floats, tokens: Floats) -> Floats | None:
    if loss.shape[1] < ENOUGH:
        return None
    nats, count = resampled_means(name, loss * tokens), resampled_means(name, tokens)
    if not (count > 0).all():
        return None
    each = (loss * tokens).sum(axis=1) / tokens.sum(axis=1)
    return np.exp(nats / count).mean(axis=0) * np.exp(_seeds([each]))


def seed_interval(values: Sequence[float], floor: float = -math.inf, ceiling: float = math.inf) -> Interval | None:
    """Return Student's t interval over seeds, for scores without items (corpus metrics); None below two seeds.

    ``floor`` and ``ceiling`` are what the scores lie between.
    """
    found = np.asarray(values, dtype=float)
    if len(found) < 2:
        return None
    low, high = _quantiles(found.mean() + _seeds([found]))
    return Interval(max(low, floor), min(high, ceiling))


def compare(one: Sample, other: Sample) -> Comparison | None:
    """Return one − other on the items that both were scored on, None where they are too few.

    Accuracy of single runs (values 0 and 100 alone) is tested by McNemar's exact test, all else by the bootstrap.
    """
    pair = _paired(one, other)
    if pair is None or min(len(stratum.ids) for stratum in pair[0].strata) < ENOUGH:
        return None
    gap = _gap(*pair)
    drawn = _items(gap) + _other_seeds(gap)
    unpaired = [both for both in zip(*_strata(pair), strict=True) if _unpaired(*both)]
    for side, sign in enumerate((1, -1) if unpaired else ()):  # their seeds move on their own
        moved = Sample(tuple(both[side] for both in unpaired))
        drawn = drawn + sign * len(unpaired) / len(gap.strata) * _other_seeds(moved, offset=1 + side)
    low, high = _quantiles(drawn)
    stated = Interval(low, high)
    binary = all(
        a.values.shape[0] == 1 and b.values.shape[0] == 1 for a, b in zip(*_strata(pair), strict=True)
    ) and all(bool(np.isin(stratum.values, (0.0, 100.0)).all()) for sample in pair for stratum in sample.strata)
    if binary:
        gaps = np.concatenate([stratum.values[0] for stratum in gap.strata])
        better, worse = int((gaps > 0).sum()), int((gaps < 0).sum())
        return Comparison(gap.value, stated, mcnemar(better, worse), "McNemar exact", mcnemar(better + worse, 0))
    below = (1 + int((drawn <= 0).sum())) / (RESAMPLES + 1)
    above = (1 + int((drawn >= 0).sum())) / (RESAMPLES + 1)
    p = min(1.0, 2 * min(below, above))
    return Comparison(gap.value, stated, p, "paired bootstrap", 2 / (RESAMPLES + 1))


def difference(one: Sample, other: Sample) -> Sample | None:
    """Return one − other item by item, None where they share no items."""
    pair = _paired(one, other)
    return None if pair is None else _gap(*pair)


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


def resampled_means(name: str, values: Floats) -> Floats:
    """Return the means of ``values`` (… × items) over each resample of the items of ``name``: … × RESAMPLES."""
    return values.astype(np.float32) @ _weights(name, values.shape[-1])


@lru_cache(maxsize=128)
def seed_draws(freedom: float, offset: int = 0) -> Floats:
    """Return draws of Student's t of ``freedom`` degrees: by how many standard errors a mean over seeds may be off."""
    return np.random.default_rng([round(1000 * freedom), offset]).standard_t(freedom, RESAMPLES)


def _items(sample: Sample) -> Floats:
    """Return draws of a sample's score as other items would give it.

    Deviations are widened for small n (Hesterberg 2015, arXiv 1411.5279, section 4.1: percentile intervals are too
    narrow by √((n-1)/n) and by the normal quantile in place of Student's).
    """
    off = np.zeros(RESAMPLES)
    for stratum in sample.strata:
        mean = stratum.values.mean(axis=0)
        drawn = resampled_means(stratum.name, mean - mean.mean())
        off += _share_of_items(stratum.values) * drawn / len(sample.strata)
    return sample.value + _widening(sample.n) * off


@lru_cache(maxsize=1024)
def _widening(n: int) -> float:
    """Return √(n/(n-1)) · t / z; Student's t by Abramowitz and Stegun's expansion 26.7.5, here for n of 20 and more."""
    if n < 2:
        return 1.0
    z, v = NormalDist().inv_cdf((1 + LEVEL) / 2), n - 1
    t = z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    return math.sqrt(n / v) * t / z


def _share_of_items(values: Floats) -> float:
    """Return which share of the spread of item means is the items' own, as a standard deviation.

    The rest is the interaction of items and seeds in a two-way layout without replication; the seeds' standard error
    has it already. Of one seed all is the items' own.
    """
    seeds, n = values.shape
    if seeds == 1 or n == 1:
        return 1.0
    spread = float(values.mean(axis=0).var(ddof=1))
    return float(np.sqrt(max(0.0, 1 - _interaction(values) / (seeds * spread)))) if spread > 0 else 1.0


def _interaction(values: Floats) -> float:
    """Return the variance of what neither the item nor the seed explains, 0 of a single seed or item."""
    seeds, n = values.shape
    if seeds == 1 or n == 1:
        return 0.0
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return float((rest**2).sum()) / ((seeds - 1) * (n - 1))


def _other_seeds(sample: Sample, offset: int = 0) -> Floats:
    """Return draws by which other seeds would move a sample's score.

    By Student's t over the seeds, of each of the ``runs`` for themselves: the variances of independent runs add up,
    and the degrees of freedom are Welch's and Satterthwaite's (1947). Where few seeds agree by chance to less than
    their interaction with the items explains by itself, by a normal of that size.
    """
    runs: dict[str, Floats] = {}
    for stratum in sample.strata:
        runs[stratum.runs] = runs.get(stratum.runs, 0.0) + stratum.values.mean(axis=1) / len(sample.strata)
    by_seeds = _seeds(list(runs.values()), offset)
    explained = math.sqrt(math.fsum(_interaction(s.values) / s.values.size for s in sample.strata)) / len(sample.strata)
    by_items = explained * np.random.default_rng([RESAMPLES, offset]).standard_normal(RESAMPLES)
    return by_items if _quantiles(by_seeds)[1] < _quantiles(by_items)[1] else by_seeds


def _seeds(runs: Sequence[Floats], offset: int = 0) -> Floats:
    """Return draws by which other seeds would move the sum of the means of ``runs``, independent scores by seed."""
    several = [scores for scores in runs if len(scores) > 1]
    errors = [float(np.var(scores, ddof=1)) / len(scores) for scores in several]
    if not sum(errors) > 0:
        return np.zeros(RESAMPLES)
    weights = (error**2 / (len(scores) - 1) for error, scores in zip(errors, several, strict=True))
    return math.sqrt(sum(errors)) * seed_draws(sum(errors) ** 2 / sum(weights), offset)


def _quantiles(drawn: Floats) -> tuple[float, float]:
    low, high = np.interp([(1 - LEVEL) / 2, (1 + LEVEL) / 2], np.linspace(0, 1, len(drawn)), np.sort(drawn))
    return float(low), float(high)


@lru_cache(maxsize=128)
def _weights(name: str, n: int) -> NDArray[np.float32]:
    """Return the share of each item in each resample, n × RESAMPLES, drawn from a seed that ``name`` fixes."""
    rng = np.random.default_rng([zlib.crc32(name.encode("utf-8", "surrogatepass")), n])
    drawn = rng.integers(n, size=(RESAMPLES, n)) + n * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n)
    return np.ascontiguousarray((counts / n).astype(np.float32).T)


def _at_the_ends(sample: Sample, low: float, high: float) -> tuple[float, float]:
    """Return the interval, widened where items score 0 or 100 throughout: the bootstrap sees no spread there.

    The bound is Clopper and Pearson's (1934) for none (or all) of n; of some strata at 0 and others at 100, their mean.
    """
    zero = sum(len(stratum.ids) for stratum in sample.strata if (stratum.values == 0).all())
    full = sum(len(stratum.ids) for stratum in sample.strata if (stratum.values == 100).all())
    if zero + full < sample.n:
        return low, high
    unseen = {n: 100 * (1 - ((1 - LEVEL) / 2) ** (1 / n)) for n in (zero, full) if n}
    lowest = sum((stratum.values == 100).all() for stratum in sample.strata) / len(sample.strata)
    return 100 * lowest - lowest * unseen.get(full, 0.0), 100 * lowest + (1 - lowest) * unseen.get(zero, 0.0)


def _paired(one: Sample, other: Sample) -> tuple[Sample, Sample] | None:
    """Return both samples on the items they share, None where a stratum is missing or shares nothing.

    A stratum meets the other sample's of its name and runs, or the only one of its name: the base's, say.
    """
    exact = {(stratum.name, stratum.runs): stratum for stratum in other.strata}
    names = [stratum.name for stratum in other.strata]
    alone = {stratum.name: stratum for stratum in other.strata if names.count(stratum.name) == 1}
    if {stratum.name for stratum in one.strata} != set(names):
        return None
    left, right = [], []
    for stratum in one.strata:
        match = exact.get((stratum.name, stratum.runs)) or alone.get(stratum.name)
        if match is None:
            return None
        if stratum.ids is match.ids:
            left.append(stratum)
            right.append(match)
            continue
        known = set(match.ids)
        ids = tuple(id_ for id_ in stratum.ids if id_ in known)
        if not ids:
            return None
        left.append(stratum.only(ids))
        right.append(match.only(ids))
    return Sample(tuple(left)), Sample(tuple(right))


def _strata(pair: tuple[Sample, Sample]) -> tuple[tuple[Stratum, ...], tuple[Stratum, ...]]:
    return pair[0].strata, pair[1].strata


def _gap(one: Sample, other: Sample) -> Sample:
    """Return differences item by item: seed by seed, or of the means over seeds where that cannot be."""
    strata = []
    for a, b in zip(one.strata, other.strata, strict=True):
        gap = a.values.mean(axis=0) - b.values.mean(axis=0) if _unpaired(a, b) else a.values - b.values
        strata.append(replace(a, values=np.atleast_2d(gap)))
    return Sample(tuple(strata))


def _unpaired(a: Stratum, b: Stratum) -> bool:
    """Return whether both have several seeds, and not as many; a single one (the base's) meets each of several."""
    seeds, others = len(a.values), len(b.values)
    return seeds != others and min(seeds, others) > 1
