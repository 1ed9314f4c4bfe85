"""Worlds whose true scores are known: items and seeds by a normal latent model, of which every mean has a formula.

The score of an item under a seed is ``100 · Φ(sharp · z)`` (continuous, skewed, between 0 and 100) or, of right and
wrong, 100 where ``z > 0``: the same with ``sharp`` → ∞. ``z`` adds the method's location, the item's difficulty, what
the method makes of the item, the seed, and what the seed makes of the item. For ``z ~ N(μ, v)`` the mean is
``100 · Φ(μ / √(1/sharp² + v))`` (Owen 1980, 10,010.8), which is solved for μ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.floating]
Rng = np.random.Generator

DIFFICULTY, TASTE, LUCK = 0.6, 0.15, 0.25
"""Variances of z over items: shared by all, of a method's own, of a run's own. They add up to one."""


@dataclass(frozen=True)
class Layout:
    """Some items: ``sizes`` of their groups, None where each is by itself, and the share of variance of the group."""

    sizes: tuple[int | None, ...]
    shared: float = 0.5

    @cached_property
    def n(self) -> int:
        """How many items there are."""
        return sum(size or 1 for size in self.sizes)

    @cached_property
    def grouped(self) -> bool:
        """Whether any two items share a group."""
        return any(size is not None for size in self.sizes)

    @cached_property
    def groups(self) -> NDArray[np.intp]:
        """The group of each item."""
        return np.repeat(np.arange(len(self.sizes)), [size or 1 for size in self.sizes])

    def noise(self, rng: Rng, *shape: int) -> Floats:
        """Return standard normal draws, … × items, correlated within groups."""
        if not self.grouped:
            return rng.standard_normal((*shape, self.n))
        several = np.repeat([size is not None for size in self.sizes], [size or 1 for size in self.sizes])
        share = np.where(several, self.shared, 0.0)
        of_group = rng.standard_normal((*shape, len(self.sizes)))[..., self.groups]
        return np.sqrt(share) * of_group + np.sqrt(1 - share) * rng.standard_normal((*shape, self.n))


def single(n: int) -> Layout:
    """Return ``n`` items without groups."""
    return Layout((None,) * n)


GROUPED = {
    "72 rows in 12 groups": Layout((6,) * 12),
    "101 rows in 24 groups": Layout((1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 7, 10, 10)),
    "60 rows, 72 in 12 groups": Layout((*((None,) * 60), *((6,) * 12))),
}


@dataclass(frozen=True)
class Kind:
    """Continuous scores, or right and wrong: the protocol and metric that they are filed under."""

    name: str
    protocol: str
    metric: str
    sharp: float

    def location(self, mean: float, variance: float) -> float:
        """Return where z must lie for the true score to be ``mean``."""
        return NormalDist().inv_cdf(mean / 100) * math.sqrt(1 / self.sharp**2 + variance)

    def of_seed(self, mean: float, sd: float) -> float:
        """Return the standard deviation of z over seeds that moves a run's true score by ``sd`` points."""
        slope = sd / (100 * NormalDist().pdf(NormalDist().inv_cdf(mean / 100)))
        return math.sqrt(slope**2 * (1 / self.sharp**2 + 1) / (1 - slope**2))

    def scores(self, z: Floats) -> Floats:
        """Return the scores of ``z``."""
        return 100.0 * (z > 0) if math.isinf(self.sharp) else 100 * ndtr(self.sharp * z)


CONTINUOUS = Kind("continuous", "teacher_forced", "char_bleu", 1.5)
BINARY = Kind("right/wrong", "generate", "accuracy", math.inf)


@dataclass(frozen=True)
class Truth:
    """A method: its true score, the standard deviation of a run's true score over seeds (points), and its seeds."""

    mean: float
    sd: float
    seeds: int


@dataclass
class World:
    """The items of one layout, drawn once: every method is scored on them."""

    kind: Kind
    layout: Layout
    rng: Rng
    difficulty: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.difficulty = math.sqrt(DIFFICULTY) * self.layout.noise(self.rng)

    def base(self, mean: float) -> Floats:
        """Return the untouched model's scores, 1 × items: no seed moves them."""
        own = math.sqrt(TASTE + LUCK) * self.layout.noise(self.rng, 1)
        return self.kind.scores(self.kind.location(mean, 1.0) + self.difficulty + own)

    def runs(self, truth: Truth, own: Floats | None = None) -> Floats:
        """Return a method's scores, seeds × items; ``own``: what the method makes of the items, drawn if None."""
        spread = self.kind.of_seed(truth.mean, truth.sd)
        own = self.layout.noise(self.rng) if own is None else own
        seeds = spread * self.rng.standard_normal((truth.seeds, 1))
        luck = math.sqrt(LUCK) * self.layout.noise(self.rng, truth.seeds)
        where = self.kind.location(truth.mean, 1 + spread**2)
        return self.kind.scores(where + self.difficulty + math.sqrt(TASTE) * own + seeds + luck)

    def sequence(self, means: Sequence[float], sd: float, seeds: int) -> list[Floats]:
        """Return a method's scores of these items after each of several tasks: true ``means``; each seeds × items.

        Half of what is a method's own, a seed's or a run's stays from moment to moment, half is drawn anew.
        """
        taste, luck = self.layout.noise(self.rng), self.layout.noise(self.rng, seeds)
        of_seed = self.rng.standard_normal((seeds, 1))
        found = []
        for mean in means:
            spread = self.kind.of_seed(mean, sd)
            now = taste + self.layout.noise(self.rng), luck + self.layout.noise(self.rng, seeds)
            moved = (of_seed + self.rng.standard_normal((seeds, 1))) * spread
            z = math.sqrt(TASTE) * now[0] + math.sqrt(LUCK) * now[1] + moved
            where = self.kind.location(mean, 1 + spread**2)
            found.append(self.kind.scores(where + self.difficulty + z / math.sqrt(2)))
        return found
