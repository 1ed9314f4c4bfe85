"""What it takes to tell two methods apart, or to show them equal: how many seeds, on how many rows.

The tests are those of ``compare`` and ``equivalence``: the difference is held against a quantile of the sum of a normal
(items) and of Student's t (seeds), which hangs on what variance the seeds of an experiment happen to show.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from secura_bench.report.statistics.components import Components
from secura_bench.report.statistics.resampling import ENOUGH, ENOUGH_GROUPS, LEVEL
from secura_bench.report.statistics.samples import Floats

POWER = 0.8
"""In what share of experiments a difference is to be told, where seeds and rows are looked for."""
MOST_SEEDS, MOST_ROWS = 100, 1_000_000
"""More than these are not worth naming."""
_SHOWN = 512
"""So many variances that the seeds may show are averaged over."""
_MIXED = 64
"""Student's t is taken as a mixture of so many normals,"""
_FINE = 50
"""its freedom to a part in so many."""
_NEWTON = 10
_STEPS, _SECANTS, _NEAR = 30, 5, 0.01
_SEEDS = (*range(2, 11), *range(12, 21, 2), *range(24, 41, 4), *range(48, 81, 8), 90, MOST_SEEDS)


@dataclass(frozen=True)
class Design:
    """So many ``seeds`` of either method, scored on so many ``rows``."""

    seeds: int
    rows: int


def power_to_tell(found: Components, difference: float, seeds: int) -> float:
    """Return the chance that ``compare`` tells two methods apart that truly differ by ``difference``.

    Two-sided, at 5 %, where both are trained under so many ``seeds``. It is 0 with one, of which no test is of
    methods, and with fewer items or groups than a test needs. Pseudo-observations are left out.
    """
    return _told(found, seeds)(difference) if _tested(found, seeds) else 0.0


def power_to_equate(found: Components, margin: float, seeds: int) -> float:
    """Return the chance that two one-sided tests at 5 % show two methods equal within ±``margin`` that truly are alike.

    As ``power_to_tell`` otherwise.
    """
    return _equal(found, seeds)(margin) if _tested(found, seeds) else 0.0


def smallest_told(found: Components, seeds: int) -> float:
    """Return the smallest difference that is told in ``POWER`` of experiments, infinite where there is no test."""
    return _reached(_told(found, seeds)) if _tested(found, seeds) else math.inf


def smallest_equated(found: Components, seeds: int) -> float:
    """Return the smallest margin within which what is alike is shown equal in ``POWER`` of experiments, as above."""
    return _reached(_equal(found, seeds)) if _tested(found, seeds) else math.inf


def least_design(
    found: Components, points: float, smallest: Callable[[Components, int], float] = smallest_told
) -> Design | None:
    """Return the seeds and rows of the least product by which the ``smallest`` difference (or margin) is ``points``.

    Of rows no fewer than there are, or than a test needs: they cost little beside training. None where nothing is known
    of seeds or no item differs, and where it takes more than ``MOST_SEEDS`` or ``MOST_ROWS``.
    """
    if not found.seeds_known or not found.variance(1) > 0:
        return None
    found = found.times(_enough(found))
    bounds = {seeds: seeds * _bound(found, points, seeds) for seeds in _SEEDS}
    best, design = math.inf, None
    for seeds in _SEEDS[_SEEDS.index(min(bounds, key=bounds.__getitem__)) :]:  # of fewer, less is known: never less
        if bounds[seeds] >= best:
            break
        times = _times(found, points, seeds, bounds[seeds] / seeds, smallest)
        if times * found.n <= MOST_ROWS and times * seeds < best:
            best, design = times * seeds, Design(seeds, math.ceil(found.n * times))
        elif design is not None:
            break
    return design


def least_answers(found: Components, difference: float) -> int | None:
    """Return of how many answers a method (seeds · rows) ``difference`` takes more, whatever the seeds do.

    What one seed shows of the items is their own variance and the interaction; seeds lessen the second alone, and add
    their own. None where no item differs, or where so many are not worth naming.
    """
    variance = found.n * (found.of_items + found.of_noise)
    answers = math.ceil(variance * (_wanted() / difference) ** 2)
    return answers if 0 < answers <= MOST_ROWS else None


def smallest_at_least(found: Components, seeds: int) -> float:
    """Return the difference below which none is told in ``POWER`` of experiments, whatever the seeds do.

    As ``least_answers``, for so many ``seeds``.
    """
    return _wanted() * math.sqrt((found.of_items + found.of_noise) / seeds)


def _tested(found: Components, seeds: int) -> bool:
    return seeds > 1 and _enough(found) == 1 and found.seeds_known and found.variance(seeds) > 0


def _enough(found: Components) -> float:
    """Return how many times as many rows a test needs, 1 where there are as many."""
    times = (max(ENOUGH / each.n, ENOUGH_GROUPS / each.groups) for each in found.rows.values())
    return max(1.0, *(1.0 if lacking < 1 + 1e-9 else lacking for lacking in times))


def _told(found: Components, seeds: int) -> Callable[[float], float]:
    """Return what gives the chance that a true difference is told."""
    reach, error = _reach(found, seeds, (1 + LEVEL) / 2), math.sqrt(found.variance(seeds))
    return lambda true: float((_below((true - reach) / error) + _below((-true - reach) / error)).mean())


def _equal(found: Components, seeds: int) -> Callable[[float], float]:
    """Return what gives the chance that no difference is shown to lie within a margin."""
    reach, error = _reach(found, seeds, LEVEL), math.sqrt(found.variance(seeds))
    return lambda margin: float((2 * _below(np.maximum(margin - reach, 0.0) / error) - 1).mean())


def _reached(chance: Callable[[float], float]) -> float:
    """Return where a chance that grows reaches ``POWER``."""
    low, high = 0.0, 1.0
    while chance(high) < POWER:
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle) < POWER else (low, middle)
    return high


def _times(
    found: Components, points: float, seeds: int, bound: float, smallest: Callable[[Components, int], float]
) -> float:
    """Return how many times as many rows it takes with so many ``seeds``, infinite where none do.

    The square of the smallest difference is nearly a line in one over the rows, of which a few secants find the place.
    """

    def excess(share: float) -> float:
        return smallest(found.times(1 / share), seeds) ** 2 - points**2

    (one, above), other = (1.0, excess(1.0)), 1 / bound if bound > 1 else 0.5
    if above <= 0:
        return 1.0
    for _ in range(_SECANTS):
        below = excess(other)
        slope = (above - below) / (one - other)
        one, above, other = other, below, other - below / slope if slope > 0 else 0.0
        if other * MOST_ROWS < found.n:
            return math.inf
        if abs(one / other - 1) < _NEAR:
            break
    return 1 / other


def _reach(found: Components, seeds: int, level: float) -> Floats:
    """Return how far from 0 a difference must lie, the draws' ``level`` quantile, by each variance that seeds may show.

    ``resampling.drawn`` is what is drawn: items by a normal, widened for few groups, and seeds by Student's t of
    Welch's freedom, or by a normal where they agree to less than their interaction with the items explains.
    """
    from scipy.special import ndtri, stdtrit

    shown = found.of_runs[:, None] / seeds * _shown(seeds, len(found.runs))
    squared = shown.sum(axis=0)
    freedom = squared**2 / np.maximum((shown**2).sum(axis=0) / (seeds - 1), np.finfo(float).tiny)
    floor, z = found.of_noise / seeds, ndtri((1 + LEVEL) / 2)
    certain = (squared == 0) | (squared * stdtrit(freedom, (1 + LEVEL) / 2) ** 2 < floor * z**2)
    squared, freedom = np.where(certain, floor, squared), np.where(certain, np.inf, freedom)
    items = sum(
        rows.between / rows.groups * (stdtrit(rows.effective - 1, (1 + LEVEL) / 2) / z) ** 2
        for rows in found.rows.values()
    )
    shares, normals = _mixed(freedom)
    spread = np.sqrt(items + squared[:, None] * normals)
    far = np.maximum(math.sqrt(items) * ndtri(level), np.sqrt(squared) * stdtrit(np.minimum(freedom, 1e9), level))
    for _ in range(_NEWTON):  # from below, where a mixture of normals is concave, so that no step goes too far
        at = far[:, None] / spread
        density = np.exp(-(at**2) / 2) / spread @ shares / math.sqrt(2 * math.pi)
        far += (level - _below(at) @ shares) / density
    return far


@lru_cache(maxsize=256)
def _shown(seeds: int, runs: int) -> Floats:
    """Return variances that so many seeds may show of a true one of 1, runs × _SHOWN: χ² over its freedom.

    They are spread evenly over what independent runs may show (Roberts's sequence of the generalised golden ratio).
    """
    from scipy.special import gammaincinv

    ratio = 2.0
    for _ in range(_STEPS):
        ratio = (1 + ratio) ** (1 / (runs + 1))
    steps = ratio ** -(1.0 + np.arange(runs))
    shares = (0.5 + steps[:, None] * np.arange(1, _SHOWN + 1)) % 1
    freedom = seeds - 1
    return np.asarray(gammaincinv(freedom / 2, shares) * 2 / freedom)


def _mixed(freedom: Floats) -> tuple[Floats, Floats]:
    """Return the normals of which Student's t is a mixture: their shares, and their variances, freedoms × normals."""
    found, index = np.unique(np.round(_FINE * np.log(freedom)), return_inverse=True)
    shares, _ = _edges()
    return shares, np.array([_normals(math.exp(each / _FINE)) for each in found])[index]


@lru_cache(maxsize=4096)
def _normals(freedom: float) -> Floats:
    """Return the variances of these normals: freedom over quantiles of χ², the wide ones closer together."""
    from scipy.special import gammaincinv

    if math.isinf(freedom):
        return np.ones(_MIXED)
    return np.asarray(freedom / 2 / gammaincinv(freedom / 2, _edges()[1]))


@lru_cache(maxsize=1)
def _edges() -> tuple[Floats, Floats]:
    """Return how probability is cut into pieces, small ones first: their sizes, and their middles."""
    ends = (np.arange(_MIXED + 1) / _MIXED) ** 2
    return np.diff(ends), (ends[1:] + ends[:-1]) / 2


def _bound(found: Components, difference: float, seeds: int) -> float:
    """Return how many times as many rows it takes at the least: were the variances known, and the test's a normal."""
    room = (difference / _wanted()) ** 2 - (float(found.of_runs.sum()) - found.of_noise) / seeds
    return max(1.0, (found.of_items + found.of_noise / seeds) / room) if room > 0 else math.inf


@lru_cache(maxsize=1)
def _wanted() -> float:
    """Return how many standard errors a difference is told by with ``POWER`` (Cohen 1988, chapter 2)."""
    from scipy.special import ndtri

    return float(ndtri((1 + LEVEL) / 2) + ndtri(POWER))


def _below(at: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(at))
