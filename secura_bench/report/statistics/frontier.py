"""What is kept at equal learning: curves through a method's settings, and how far two of them lie apart.

A curve is the line through its settings' points (learned, kept), from the gentlest setting to the strongest. What
learned less and kept less than the setting that learned most, and is stronger, is no part of it: there training breaks.
At a learning that it crosses several times, what it keeps is the most that it keeps there. Between two settings it is
straight; beyond the least and the most that was learned there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secura_bench.report.statistics.intervals import Interval
from secura_bench.report.statistics.resampling import (
    DRAWS,
    LEVEL,
    RESAMPLES,
    at_least,
    enough,
    moved_by,
    normal,
    quantiles,
    resampled_means,
    widening,
)
from secura_bench.report.statistics.samples import Floats, Sample, shared_ids
from secura_bench.report.statistics.significance import share

STEPS = 32
"""At how many levels of learning, evenly spaced over what both curves reach, the distance of two is taken."""


@dataclass(frozen=True)
class Point:
    """One setting: the item scores of what was learned, and of the probe at the end, under the same seeds.

    ``training`` is what points share whose runs are the same, scored in several ways: a seed moves them together.
    """

    learned: Sample
    kept: Sample
    training: str = ""


Curve = Sequence[Point]
"""The settings of one method, in order."""
Lines = Sequence[tuple[Floats, Floats]]
"""Curves as numbers: learned and kept, each settings × draws."""


@dataclass(frozen=True, eq=False)
class Level:
    """A number that follows from curves, and what other items and seeds would give for it.

    ``draws``: None where items are too few, or where curves have too little in common to be drawn again.
    ``items_only``: a point was trained under one seed. ``n`` items of the probe.
    """

    value: float
    draws: Floats | None = None
    items_only: bool = False
    n: int = 0

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval, None where nothing was drawn."""
        return None if self.draws is None else Interval(*quantiles(self.draws))

    @property
    def p(self) -> float | None:
        """The two-sided p of its being 0, None where nothing was drawn."""
        return None if self.draws is None else min(1.0, 2 * min(share(self.draws <= 0), share(self.draws >= 0)))

    def equal(self, margin: float) -> float | None:
        """Return the p of two one-sided tests that it lies within ±``margin`` (Schuirmann 1987)."""
        return None if self.draws is None else max(share(self.draws <= -margin), share(self.draws >= margin))


def beaten(learned: Floats, kept: Floats) -> NDArray[np.bool_]:
    """Return which settings learned less and kept less than the one that learned most, and come after it.

    All are settings × draws.
    """
    most = learned.max(axis=0)
    best = np.where(learned == most, kept, -np.inf).max(axis=0)
    after = np.cumsum(learned == most, axis=0) > 0
    return np.asarray(after & (learned < most) & (kept < best))


def useful(learned: Floats, kept: Floats) -> tuple[Floats, Floats]:
    """Return a line without the settings that are ``beaten``: each stands where the one before it does."""
    x, y, out = learned.copy(), kept.copy(), beaten(learned, kept)
    for i in range(1, len(x)):
        x[i], y[i] = np.where(out[i], x[i - 1], x[i]), np.where(out[i], y[i - 1], y[i])
    return x, y


def kept_at(learned: Floats, kept: Floats, at: Floats) -> Floats:
    """Return what lines keep ``at`` levels of learning, NaN where they do not reach.

    ``learned`` and ``kept`` are settings × draws, ``at`` and what is returned levels × draws.
    """
    found = np.where(np.isclose(at, learned[0], rtol=0, atol=1e-9), kept[0], np.nan)
    for i in range(len(learned) - 1):
        (x, to_x), (y, to_y) = learned[i : i + 2], kept[i : i + 2]
        wide = np.abs(to_x - x) > 1e-9
        share = np.clip((at - x) / np.where(wide, to_x - x, 1.0), 0.0, 1.0)
        within = (at >= np.minimum(x, to_x) - 1e-9) & (at <= np.maximum(x, to_x) + 1e-9)
        value = np.where(wide, y + share * (to_y - y), np.maximum(y, to_y))
        found = np.where(within, np.fmax(found, value), found)
    return found


def common(lines: Lines) -> tuple[Floats, Floats]:
    """Return the least and the most that all lines learned, by draw: the least above the most where they share none."""
    return (
        np.max([learned.min(axis=0) for learned, _ in lines], axis=0),
        np.min([learned.max(axis=0) for learned, _ in lines], axis=0),
    )


def mean_gap(lines: Lines) -> Floats:
    """Return by how much the first of two lines keeps more: the area between them over what both learned, by its width.

    NaN where they have no learning in common.
    """
    low, high = common(lines)
    steps = (np.arange(STEPS)[:, None] + 0.5) / STEPS
    one, other = (kept_at(learned, kept, low + steps * (high - low)) for learned, kept in lines)
    return np.asarray(np.where(high >= low, (one - other).mean(axis=0), np.nan))


def gap_at(lines: Lines, at: float) -> Floats:
    """Return by how much the first of two lines keeps more at one level of learning."""
    one, other = (held_at(line, at) for line in lines)
    return one - other


def held_at(line: tuple[Floats, Floats], at: float) -> Floats:
    """Return what a line keeps at a level of learning; in draws that do not reach it, at their nearest."""
    learned, kept = line
    level = np.clip(at, learned.min(axis=0), learned.max(axis=0))[None]
    return np.asarray(kept_at(learned, kept, level)[0])


@dataclass(frozen=True)
class Scale:
    """How what was kept is told of the probe's score: itself, or in percent of that of the ``base``.

    ``nats``: the score is nats a token, better the lower it is, and kept is the base's perplexity as percent of it.
    """

    base: Sample | None
    nats: bool = False

    def kept(self, scores: Floats, base: Floats) -> Floats:
        """Return scores as what was kept."""
        if self.base is None:
            return scores
        return np.asarray(100 * np.exp(base - scores) if self.nats else scores * (100 / base))

    @property
    def most(self) -> float:
        """The most that can be kept."""
        return math.inf if self.nats else 100.0 if self.base is None else 100 * 100 / self.base.value

    @property
    def step(self) -> float:
        """The least difference of scores by which a slope is taken."""
        return 1e-3 if self.nats else 0.1


def level(curves: Sequence[Curve], scale: Scale, of: Callable[[Lines], Floats]) -> Level | None:
    """Return what ``of`` makes of curves, as other items and seeds would give it; None where it finds no number.

    What was kept is told on ``scale``. Items are resampled alike for all points; seeds move each point's learned and
    kept together, by the slope of ``of`` at what was seen (the delta method).
    """
    base = scale.base
    points = [point for curve in curves for point in curve]
    samples = shared(
        [sample for point in points for sample in (point.learned, point.kept)] + ([base] if base is not None else [])
    )
    if not all(stratum.ids for sample in samples for stratum in sample.strata):
        return None
    seen = np.array([[sample.value] for sample in samples])
    value = float(_of(seen, curves, scale, of)[0])
    if math.isnan(value):
        return None
    told = any(sample.items_only for sample in samples), samples[1].n
    if not all(enough(sample) for sample in samples):
        return Level(value, None, *told)
    off = np.stack([_by_items(sample) for sample in samples])
    by_items = np.tile(_of(seen + off[:, :RESAMPLES], curves, scale, of) - value, DRAWS // RESAMPLES)
    if np.isnan(by_items).mean() > (1 - LEVEL) / 2:
        return Level(value, None, *told)
    slopes = _slopes(seen, off.std(axis=1), curves, scale, of)
    trained = [point.training or f"point {number}" for number, point in enumerate(points)]
    own, error, freedom = _by_seeds(samples, slopes, [each for each in trained for _ in range(2)] + ["base"])
    draws = value + math.sqrt(own) * np.nan_to_num(by_items) + _unseen(samples, slopes) + moved_by(error, freedom)
    return Level(value, np.clip(draws, 0.0 if len(curves) == 1 else -scale.most, scale.most), *told)


def shared(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples on the items that all those of a name share; of any without, none are left."""
    ids: dict[str, tuple[str, ...]] = {}
    for stratum in (stratum for sample in samples for stratum in sample.strata):
        mine = ids.setdefault(stratum.name, stratum.ids)
        if mine is not stratum.ids:
            ids[stratum.name] = shared_ids(mine, stratum.ids)
    return [Sample(tuple(stratum.only(ids[stratum.name]) for stratum in sample.strata)) for sample in samples]


def _of(values: Floats, curves: Sequence[Curve], scale: Scale, of: Callable[[Lines], Floats]) -> Floats:
    """Return ``of`` of samples' ``values`` (samples × draws), a number a draw."""
    lines, first = [], 0
    for curve in curves:
        last = first + 2 * len(curve)
        lines.append(useful(values[first:last:2], scale.kept(values[first + 1 : last : 2], values[-1])))
        first = last
    return of(lines)


def _by_items(sample: Sample) -> Floats:
    """Return draws of how far a score is off by its items, widened for few groups."""
    total = np.zeros(DRAWS)
    for stratum in sample.strata:
        means = stratum.group_means
        off = resampled_means(stratum.name, means - means.mean())
        total += widening(stratum.effective_groups) * off / len(sample.strata)
    return total


def _slopes(
    seen: Floats, errors: Floats, curves: Sequence[Curve], scale: Scale, of: Callable[[Lines], Floats]
) -> Floats:
    """Return by how much ``of`` moves with each sample, over about a standard error to either side."""
    least = [0.1, scale.step] * sum(map(len, curves)) + [scale.step]
    step = np.diag(np.maximum(errors, least[: len(errors)]))
    ahead, behind = (_of(seen + way * step, curves, scale, of) for way in (1, -1))
    middle = _of(seen, curves, scale, of)
    ahead, behind = (np.where(np.isnan(side), middle, side) for side in (ahead, behind))
    return np.asarray((ahead - behind) / (2 * np.diag(step)))


def _by_item(samples: Sequence[Sample], slopes: Floats) -> dict[str, Floats]:
    """Return, by task, by how much each group of items moves the number, each mean over seeds."""
    items: dict[str, Floats] = {}
    for sample, slope in zip(samples, slopes, strict=True):
        for stratum in sample.strata:
            mine = slope / len(sample.strata) * stratum.group_means
            items[stratum.name] = items.get(stratum.name, 0.0) + mine
    return items


def _unseen(samples: Sequence[Sample], slopes: Floats) -> Floats:
    """Return draws of what items that differ may be there beside those seen, where more than half are exactly alike.

    One of their typical size to either side, or of the whole scale where none differs, as in a plain difference.
    """
    total = np.zeros(DRAWS)
    for name, values in _by_item(samples, slopes).items():
        mine = [(slope / len(s.strata), t) for s, slope in zip(samples, slopes, strict=True) for t in s.strata]
        weights = np.array([weight for weight, stratum in mine if stratum.name == name])
        scale = float(np.abs(weights).sum())
        differing = values[np.abs(values) > 1e-9 * max(scale, 1.0)]
        if 2 * len(differing) >= len(values) or abs(weights.sum()) > scale / 2:  # or no difference at all, but a score
            continue
        rows = next(stratum for _, stratum in mine if stratum.name == name)
        size = math.sqrt(float((differing**2).mean())) if len(differing) else rows.whole * scale / 2
        total += widening(rows.effective_groups) * math.sqrt(2) * size / (len(values) + 2) * normal(name)
    return total


def _by_seeds(samples: Sequence[Sample], slopes: Floats, trained: Sequence[str]) -> tuple[float, float, float]:
    """Return the share of the items' variance that is theirs, the standard error by seeds, and its freedom.

    Samples that were ``trained`` alike are of the same runs: a point's learned and kept, above all.
    """
    runs: dict[tuple[str, str], Floats] = {}
    explained = 0.0
    for sample, slope, training in zip(samples, slopes, trained, strict=False):
        for stratum in sample.strata:
            weight = slope / len(sample.strata)
            scores = stratum.by_group
            explained += weight**2 * stratum.interaction / scores.size
            if not stratum.fixed:
                key = (training, stratum.runs)
                runs[key] = runs.get(key, 0.0) + weight * stratum.values.mean(axis=1)
    spread = sum(float(values.var(ddof=1)) / len(values) for values in _by_item(samples, slopes).values())
    own = max(0.0, 1 - explained / spread) if spread > 0 else 1.0
    return own, *at_least(math.sqrt(explained), *_pooled([scores for scores in runs.values() if len(scores) > 1]))


def _pooled(runs: Sequence[Floats]) -> tuple[float, float]:
    """Return the standard error of the sum of the means of ``runs``, and its degrees of freedom.

    They are Welch's (1947, Biometrika 34, 28), (Σ v)² / Σ (v² / (f + 2)) − 2: Satterthwaite's take the variances v,
    of f degrees of freedom each, as if they were known, and are too few by far of many settings of few seeds.
    """
    errors = np.array([float(np.var(scores, ddof=1)) / len(scores) for scores in runs])
    own = np.array([len(scores) - 1 for scores in runs])
    if not errors.sum() > 0:
        return 0.0, math.inf
    freedom = errors.sum() ** 2 / (errors**2 / (own + 2)).sum() - 2
    return math.sqrt(errors.sum()), float(np.clip(freedom, own.min(), own.sum()))
