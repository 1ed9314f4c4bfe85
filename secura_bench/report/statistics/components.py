"""What the variance of a difference comes from: seeds, items, and their interaction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from secura_bench.report.statistics.resampling import enough
from secura_bench.report.statistics.samples import Floats, Sample, Stratum, matched, paired


@dataclass(frozen=True)
class Rows:
    """Items that are drawn together: a task's.

    ``n`` items in ``groups`` (their own each, if they have none), of which the unequal ones tell as much as
    ``effective``; ``between`` is the variance, between groups, of the difference that no seed would change.
    """

    n: int
    groups: float
    effective: float
    between: float

    def times(self, factor: float) -> Rows:
        """Return so many times as many, in groups of the same sizes."""
        return replace(self, n=round(self.n * factor), groups=self.groups * factor, effective=self.effective * factor)


@dataclass(frozen=True)
class Runs:
    """One side's runs on one task sequence, a run a seed.

    ``seeds`` is the variance by which a seed moves all items together, ``noise`` that of one item under one seed beside
    it (by the name of its rows), None and nothing where there is one seed.
    """

    seeds: float | None
    noise: Mapping[str, float]


@dataclass(frozen=True)
class Components:
    """The components of the variance of one − other, a mean over tasks that each weigh the same.

    ``rows`` by task; ``runs`` are independent of one another. Variances are in squares of the score's points, and have
    the tasks' weights in them.
    """

    rows: Mapping[str, Rows]
    runs: tuple[Runs, ...]

    @property
    def seeds_known(self) -> bool:
        """Whether all of it was trained under several seeds, so that something is known of others."""
        return all(runs.seeds is not None for runs in self.runs)

    @property
    def n(self) -> int:
        """How many items there are."""
        return sum(rows.n for rows in self.rows.values())

    @property
    def of_items(self) -> float:
        """The variance of the mean over items that no number of seeds would lessen."""
        return sum(rows.between / rows.groups for rows in self.rows.values())

    @property
    def of_runs(self) -> Floats:
        """The variances of the runs' scores, of one seed each."""
        return np.array([(runs.seeds or 0.0) + self._noise_of(runs) for runs in self.runs])

    @property
    def of_noise(self) -> float:
        """The part of the sum of these that is the interaction of items and seeds."""
        return sum(map(self._noise_of, self.runs))

    def variance(self, seeds: int) -> float:
        """Return the variance of the difference were both sides trained under so many ``seeds``."""
        return self.of_items + float(self.of_runs.sum()) / seeds

    def times(self, factor: float) -> Components:
        """Return those of so many times as many rows of every task."""
        return replace(self, rows={name: rows.times(factor) for name, rows in self.rows.items()})

    def on(self, counts: Mapping[str, int]) -> Components:
        """Return those of as many rows of each task as ``counts`` has."""
        return replace(self, rows={name: rows.times(counts[name] / rows.n) for name, rows in self.rows.items()})

    def _noise_of(self, runs: Runs) -> float:
        return sum(noise / self.rows[name].groups for name, noise in runs.noise.items())


def components_of(one: Sample, other: Sample) -> Components | None:
    """Return the components of one − other on the items that both were scored on, None where ``compare`` has no test.

    A score is the sum of its item's, its seed's and their interaction's (a two-way layout without replication, whose
    residual is the interaction), as the intervals have it; each component is what is left of a variance that was seen
    when the expected share of the others is taken from it (Cornfield and Tukey 1956, Annals of Mathematical Statistics
    27, 907), and never less than 0.
    """
    pair = paired(one, other)
    if pair is None or not enough(pair[0]):
        return None
    found = list(matched(pair))
    weight = 1 / len(found)
    gaps: dict[str, Floats] = {}
    alone: dict[str, Stratum] = {}
    explained: dict[str, float] = {}
    scores: dict[tuple[int, str], list[Stratum]] = {}
    for sides in found:
        name = sides[0].name
        alone.setdefault(name, sides[0])
        means = [side.group_means for side in sides]
        gaps[name] = gaps.get(name, 0.0) + weight * (means[0] - means[1])
        for number, side in enumerate(sides):
            residual = weight**2 * side.interaction
            explained[name] = explained.get(name, 0.0) + residual / len(side.values)
            if not side.fixed:
                scores.setdefault((number, side.runs), []).append(side)
    rows = {
        name: Rows(
            len(alone[name].ids),
            alone[name].n_groups,
            alone[name].effective_groups,
            max(0.0, float(np.var(gap, ddof=1)) - explained[name]),
        )
        for name, gap in gaps.items()
    }
    return Components(rows, tuple(_runs(strata, weight) for strata in scores.values()))


def _runs(strata: list[Stratum], weight: float) -> Runs:
    """Return the components of one side's runs on one sequence, of which ``strata`` are the tasks."""
    if any(len(stratum.values) == 1 for stratum in strata):
        return Runs(None, {})
    noise: dict[str, float] = {}
    for stratum in strata:
        noise[stratum.name] = noise.get(stratum.name, 0.0) + weight**2 * stratum.interaction
    means = weight * np.sum([stratum.values.mean(axis=1) for stratum in strata], axis=0)
    items = math.fsum(weight**2 * stratum.interaction / stratum.n_groups for stratum in strata)
    return Runs(max(0.0, float(np.var(means, ddof=1)) - items), noise)
