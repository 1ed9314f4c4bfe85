"""Scores of items under seeds, and which of two samples belong together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Stratum:
    """Scores of the same items under several seeds: ``values`` is seeds × items, ``ids`` names the items.

    ``name`` (a task's) chooses the resamples: strata of one name and size are resampled alike. ``runs`` tells the runs
    apart that are scored: of one and the same runs, a seed moves all strata together; of others, on its own.
    ``groups`` names the group of each item (None: each is its own): one text in several languages, say. ``fixed``: no
    seed had a part in it, as in the untouched model. ``gap``: its values are differences. ``nat``: what a nat a
    token is in its values, where they are of a perplexity and so may be any number; else they are 0 to 100.
    """

    name: str
    ids: tuple[str, ...]
    values: Floats
    runs: str = ""
    groups: tuple[str, ...] | None = None
    fixed: bool = False
    gap: bool = False
    nat: float | None = None

    def only(self, ids: Sequence[str]) -> Stratum:
        """Return the stratum of ``ids`` alone, in their order."""
        if tuple(ids) == self.ids:
            return self
        where = {id_: i for i, id_ in enumerate(self.ids)}
        at = [where[id_] for id_ in ids]
        groups = None if self.groups is None else tuple(self.groups[i] for i in at)
        return replace(self, ids=tuple(ids), values=self.values[:, at], groups=groups)

    @property
    def binary(self) -> bool:
        """Whether every item is right or wrong, 100 or 0."""
        return bool(np.isin(self.values, (0.0, 100.0)).all())

    @property
    def whole(self) -> float:
        """How far apart two scores of an item may lie: from wrong to right, or a nat a token."""
        return 100.0 if self.nat is None else self.nat

    @property
    def n_groups(self) -> int:
        """How many groups there are: what is independent, and resampled."""
        return len(self.ids) if self.groups is None else len(set(self.groups))

    @cached_property
    def by_group(self) -> Floats:
        """The scores as seeds × groups, whose mean is the items' mean.

        A group has its residual from that mean, summed over its items (the linearised mean of clusters of unequal
        size: Cochran 1977, Sampling Techniques, section 9.7; of equal size it is the group's own mean).
        """
        if self.groups is None:
            return self.values
        index, sizes = _codes(self.groups)
        mean = self.values.mean(axis=1, keepdims=True)
        summed = np.stack([np.bincount(index, row, len(sizes)) for row in self.values - mean])
        return np.asarray(mean + summed * len(sizes) / len(index))

    @cached_property
    def group_means(self) -> Floats:
        """Each group's score, mean over seeds."""
        return np.asarray(self.by_group.mean(axis=0))

    @cached_property
    def interaction(self) -> float:
        """The variance of what neither the group nor the seed explains, 0 of a single seed or group.

        It is the residual of a two-way layout without replication.
        """
        values = self.by_group
        seeds, n = values.shape
        if seeds == 1 or n == 1:
            return 0.0
        rest = values - self.group_means - values.mean(axis=1, keepdims=True) + values.mean()
        return float((rest**2).sum()) / ((seeds - 1) * (n - 1))

    @property
    def effective_groups(self) -> float:
        """How many groups of equal size tell as much: (Σ m)² / Σ m² of group sizes m (Kish 1965)."""
        if self.groups is None:
            return float(len(self.ids))
        _, sizes = _codes(self.groups)
        return float(sizes.sum() ** 2 / (sizes.astype(float) ** 2).sum())


def _codes(groups: tuple[str, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return each item's group as a number, in the order of the groups' names, and the groups' sizes."""
    _, index, sizes = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    return index, sizes


@dataclass(frozen=True)
class Sample:
    """One score: the mean over ``strata`` (tasks, each weighing the same) of the mean over items and seeds."""

    strata: tuple[Stratum, ...]

    @property
    def n(self) -> int:
        """How many items there are; the same rows scored after several tasks count once."""
        return sum({stratum.name: len(stratum.ids) for stratum in self.strata}.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks, once each."""
        return tuple(dict.fromkeys(stratum.name for stratum in self.strata))

    @property
    def value(self) -> float:
        """The score, mean over seeds."""
        return math.fsum(float(stratum.values.mean()) for stratum in self.strata) / len(self.strata)

    @property
    def items_only(self) -> bool:
        """Whether some of it was trained under one seed alone, so that nothing is known of another."""
        return any(len(stratum.values) == 1 and not stratum.fixed for stratum in self.strata)


def difference(one: Sample, other: Sample) -> Sample | None:
    """Return one − other item by item and seed by seed, of the same runs; None where they share no items.

    A side of a single row (the untouched model's) meets each seed of the other.
    """
    pair = paired(one, other)
    if pair is None:
        return None
    strata = []
    for a, b in matched(pair):
        alike = len(a.values) == len(b.values) or 1 in (len(a.values), len(b.values))
        gap = a.values - b.values if alike else np.atleast_2d(a.values.mean(axis=0) - b.values.mean(axis=0))
        strata.append(replace(a, values=gap, gap=True))
    return Sample(tuple(strata))


def paired(one: Sample, other: Sample) -> tuple[Sample, Sample] | None:
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
        if not (ids := shared_ids(stratum.ids, match.ids)):
            return None
        left.append(stratum.only(ids))
        right.append(match.only(ids))
    return Sample(tuple(left)), Sample(tuple(right))


def shared_ids(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """Return the ids that both have, in their order; sorted where each has its own: whichever is named first."""
    known, mine = set(other), set(one)
    ids = tuple(id_ for id_ in one if id_ in known)
    return ids if ids == tuple(id_ for id_ in other if id_ in mine) else tuple(sorted(ids))


def matched(pair: tuple[Sample, Sample]) -> Iterator[tuple[Stratum, Stratum]]:
    """Yield the strata of a pair that belong together; groups that one side does not know are the other's."""
    for a, b in zip(pair[0].strata, pair[1].strata, strict=True):
        if a.groups is not b.groups and (a.groups is None or b.groups is None):
            a, b = (replace(each, groups=a.groups or b.groups) for each in (a, b))
        yield a, b
