"""Draws of a score, or of a difference, as other items and other seeds would give it.

Items are resampled by group with replacement (Efron 1979); items of one name are drawn alike everywhere, so that
whatever is scored on the same items is compared pairwise. Seeds are few, and a resample of three cannot see beyond the
three: they move each draw by Student's t with their standard error. What moves draws evenly to either side moves each
resample of the items both ways (antithetic draws: Hammersley and Morton 1956), so that other − one is one − other
negated, to the last digit.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from secura_bench.report.statistics.samples import Floats, Sample, Stratum, matched

LEVEL = 0.95
RESAMPLES = 1000
DRAWS = 2 * RESAMPLES
"""Each resample of the items comes twice, with what moves it taken once to either side."""
ENOUGH = 20
"""Fewer items than this carry no bootstrap interval: too few values for their tails to be seen."""
ENOUGH_GROUPS = 10
"""Fewer groups than this carry none, however many items they have."""


def enough(sample: Sample) -> bool:
    """Return whether a sample has the items and the groups that an interval needs."""
    return all(len(s.ids) >= ENOUGH and s.n_groups >= ENOUGH_GROUPS for s in sample.strata)


def drawn(one: Sample, other: Sample | None = None, again: bool = False) -> Floats:
    """Return draws of a sample's score, or of one − other on the same items, as other items and seeds would give it.

    ``again``: draws of what one more run, on as many items of its own, may give beside it.
    """
    return item_draws(one, other, again) + seed_draws([one] if other is None else [one, other], again)


def item_draws(one: Sample, other: Sample | None = None, again: bool = False, plain: bool = False) -> Floats:
    """Return draws of a score (or a difference) as other items would give it; both samples have the same items.

    ``plain``: without pseudo-observations.
    """
    pairs = [(a, None) for a in one.strata] if other is None else list(matched((one, other)))
    share = {name: 1 / len(one.names) / (_runs_told(one, name) if other is None else 1.0) for name in one.names}
    total = np.zeros(DRAWS)
    for a, b in pairs:
        pseudo = np.empty(0) if plain else _pseudo(a, b)
        total += _stratum_draws(a, b, pseudo, share[a.name], math.sqrt(2) if again else 1.0) / len(pairs)
    return total


def _runs_told(sample: Sample, name: str) -> float:
    """Return how many independent answers each group of ``name`` is worth, where items are right or wrong.

    It is the variance of a single answer over that of the groups' means (Korn and Graubard 1998, Survey Methodology 24,
    193): between one, where all rows of a group and all runs agree, and as many as there are.
    """
    mine = [stratum for stratum in sample.strata if stratum.name == name]
    values = np.mean([_means(stratum, None) for stratum in mine], axis=0)
    mean, spread = float(values.mean()), float(values.var())
    most = sum(stratum.values.size for stratum in mine) / len(values)
    alone = mean * (100 - mean)
    return 1.0 if alone <= 0 else min(max(alone / spread, 1.0), most) if spread > 0 else most


def _stratum_draws(one: Stratum, other: Stratum | None, pseudo: Floats, weight: float, more: float) -> Floats:
    """Return draws of one stratum's mean, or of a difference of two.

    Deviations are widened for few groups (Hesterberg 2015, arXiv 1411.5279, section 4.1: percentile intervals are too
    narrow by √((n-1)/n) and by the normal quantile in place of Student's), and by the pseudo-observations of
    ``_pseudo``, which count ``weight``: the tasks of a mean, and the runs of a task, share them. The share of items ×
    seeds, which the seeds' standard error has already, is taken out of what was seen.
    """
    values = _means(one, other)
    n, mean, added = len(values), float(values.mean()), weight * len(pseudo)
    centre = (n * mean + weight * pseudo.sum()) / (n + added)
    squares = float(((values - mean) ** 2).sum())
    twice = sum(each.interaction / each.by_group.size for each in (one, other) if each is not None)
    own = max(0.0, 1 - twice * n * (n - 1) / squares) if twice and squares > 0 else 1.0
    seen = math.sqrt(own) * n * resampled_means(one.name, values - mean)
    unseen = n * (mean - centre) ** 2 + weight * float(((pseudo - centre) ** 2).sum())
    off = seen + math.sqrt(unseen) * normal(one.name)
    return np.asarray(centre + more * widening(one.effective_groups) / (n + added) * off)


def _means(one: Stratum, other: Stratum | None) -> Floats:
    """Return each group's score, mean over seeds, or its difference."""
    return one.group_means if other is None else np.asarray(one.group_means - other.group_means)


def _pseudo(one: Stratum, other: Stratum | None) -> Floats:
    """Return the pseudo-observations that keep few exceptions from looking like none.

    Of items that are right or wrong, two of each (Agresti and Coull 1998, The American Statistician 52, 119). Of
    differences of which more than half are exactly none, one of their typical size to either side (Bonett and Price
    2012, J. Educ. Behav. Stat. 37, 479, who have it of items that are right or wrong); of none at all, of the whole
    scale.
    """
    if other is None and not one.gap:
        return np.array([0.0, 0.0, 100.0, 100.0]) if one.binary else np.empty(0)
    values = _means(one, other)
    differing = values[np.abs(values) > 1e-9]
    if 2 * len(differing) >= len(values):
        return np.empty(0)
    size = math.sqrt(float((differing**2).mean())) if len(differing) else one.whole
    return np.array([size, -size])


def seed_draws(samples: Sequence[Sample], again: bool = False) -> Floats:
    """Return draws by which other seeds would move a score, or the difference of two ``samples``.

    ``again``: and by which the one seed of another run would.
    """
    return moved_by(*seed_error(samples, again))


def moved_by(error: float, freedom: float) -> Floats:
    """Return draws by which a standard ``error`` of that many degrees of freedom moves a score."""
    return error * _student(freedom) if error else np.zeros(DRAWS)


def seed_error(samples: Sequence[Sample], again: bool = False) -> tuple[float, float]:
    """Return the standard error by seeds of a score, or of the difference of two ``samples``, and its freedom.

    Each of the ``runs`` stands for itself: the variances of independent runs add up, and the degrees of freedom are
    Welch's and Satterthwaite's (1947). Where few seeds agree by chance to less than their interaction with the items
    explains by itself, it is that, and certain (infinite freedom).
    """
    runs: dict[tuple[int, str], Floats] = {}
    explained = 0.0
    for side, sample in enumerate(samples):
        share = 1 / len(sample.strata)
        for stratum in sample.strata:
            if stratum.fixed:
                continue
            key = (side, stratum.runs)
            runs[key] = runs.get(key, 0.0) + share * stratum.values.mean(axis=1)
            scores = stratum.by_group
            explained += share**2 * stratum.interaction / scores.size * (1 + again * len(scores))
    return at_least(math.sqrt(explained), *welch(list(runs.values()), again))


def at_least(floor: float, error: float, freedom: float) -> tuple[float, float]:
    """Return the standard error by seeds that was seen, and its freedom, or the ``floor`` where it reaches further."""
    seen = error * _quantile(freedom) if error else 0.0
    return (floor, math.inf) if seen < floor * _quantile(math.inf) else (error, freedom)


def welch(runs: Sequence[Floats], again: bool = False) -> tuple[float, float]:
    """Return the standard error of the sum of the means of ``runs``, independent scores by seed, and its freedom.

    Runs of one seed have none: nothing is known of another. ``again``: of the sum of one more score of each, less it.
    Where two of them have different numbers of seeds Welch's t is too sure if the fewer spread more, and the error is
    made as large as Cochran and Cox's t has it (1950, Experimental Designs, section 4.14): Σ vᵢ tᵢ / Σ vᵢ of the
    variances v.
    """
    several = [scores for scores in runs if len(scores) > 1]
    errors = [float(np.var(scores, ddof=1)) * (1 / len(scores) + again) for scores in several]
    if not sum(errors) > 0:
        return 0.0, math.inf
    freedoms = [len(scores) - 1 for scores in several]
    freedom = sum(errors) ** 2 / sum(error**2 / own for error, own in zip(errors, freedoms, strict=True))
    if len(freedoms) != 2 or len(set(freedoms)) == 1:
        return math.sqrt(sum(errors)), freedom
    cox = sum(error * _quantile(own) for error, own in zip(errors, freedoms, strict=True)) / sum(errors)
    return math.sqrt(sum(errors)) * max(1.0, cox / _quantile(freedom)), freedom


def welch_draws(runs: Sequence[Floats]) -> Floats:
    """Return draws by which other seeds would move the sum of the means of ``runs``, scores by seed."""
    return moved_by(*welch(runs))


def resampled_means(name: str, values: Floats) -> Floats:
    """Return the means of ``values`` (… × items) over each resample of the items of ``name``: … × DRAWS."""
    means = values.astype(np.float32) @ _weights(name, values.shape[-1])
    return np.asarray(np.concatenate([means, means], axis=-1))


def quantiles(values: Floats, at: tuple[float, float] = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)) -> tuple[float, float]:
    """Return two quantiles of draws, by default the ends of their 95 %."""
    low, high = np.interp(at, np.linspace(0, 1, len(values)), np.sort(values))
    return float(low), float(high)


@lru_cache(maxsize=1024)
def widening(n: float) -> float:
    """Return √(n/(n-1)) · t / z of n groups: of quantiles of Student's t, with n - 1 degrees of freedom, and normal."""
    from scipy.special import ndtri, stdtrit

    if n <= 1:
        return 1.0
    upper = (1 + LEVEL) / 2
    return float(math.sqrt(n / (n - 1)) * stdtrit(n - 1, upper) / ndtri(upper))


@lru_cache(maxsize=128)
def _student(freedom: float) -> Floats:
    """Return draws of Student's t: by how many standard errors a mean over seeds may be off.

    They are the medians of sixteenths of a larger sample, so that their quantiles are nearly t's own, in random order
    and then with the other sign. As many lie as far below 0 as above.
    """
    certain = math.isinf(freedom)
    rng = np.random.default_rng([RESAMPLES if certain else round(1000 * freedom), 0])
    size = 16 * RESAMPLES
    many = rng.standard_normal(size) if certain else rng.standard_t(freedom, size)
    medians = np.median(np.sort(many).reshape(RESAMPLES, 16), axis=1)
    return _to_either_side(rng.permutation((medians - medians[::-1]) / 2))


@lru_cache(maxsize=1024)
def _quantile(freedom: float) -> float:
    """Return how far out 95 % of the draws of Student's t reach."""
    return quantiles(_student(freedom))[1]


@lru_cache(maxsize=128)
def normal(name: str) -> Floats:
    """Return standard normal draws, the same for all that is scored on the items of ``name``, with either sign."""
    return _to_either_side(np.random.default_rng([_seed(name), RESAMPLES]).standard_normal(RESAMPLES))


def _to_either_side(draws: Floats) -> Floats:
    return np.concatenate([draws, -draws])


@lru_cache(maxsize=128)
def _weights(name: str, n: int) -> NDArray[np.float32]:
    """Return the share of each item in each resample, n × RESAMPLES, drawn from a seed that ``name`` fixes."""
    rng = np.random.default_rng([_seed(name), n])
    which = rng.integers(n, size=(RESAMPLES, n)) + n * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(which.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n)
    return np.ascontiguousarray((counts / n).astype(np.float32).T)


def _seed(name: str) -> int:
    return zlib.crc32(name.encode("utf-8", "surrogatepass"))
