"""Which of two methods is named first decides nothing: one − other is other − one, negated, to the last digit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from secura_bench.report.statistics import Comparison, Sample, Stratum, compare, equivalence
from secura_bench.report.statistics.frontier import Level, Point, Scale, level, mean_gap

IDS = tuple(f"row-{i}" for i in range(60))


def right(rng: np.random.Generator, share: float, seeds: int) -> np.ndarray:
    return 100.0 * (rng.random((seeds, len(IDS))) < share)


def several_seeds(rng: np.random.Generator, share: float) -> Sample:
    return Sample((Stratum("task", IDS, right(rng, share, 3), "runs"),))


def grouped_tasks(rng: np.random.Generator, share: float) -> Sample:
    groups = tuple(f"text {i // 3}" for i in range(len(IDS)))
    return Sample(tuple(Stratum(name, IDS, right(rng, share, 4), name, groups) for name in ("a", "b")))


def mostly_alike(rng: np.random.Generator, share: float) -> Sample:
    """Return scores of which hardly any differ, so that some are thought of that do."""
    values = np.full((2, len(IDS)), 50.0)
    values[:, rng.integers(len(IDS), size=3)] += 40 * share
    return Sample((Stratum("task", IDS, values, "runs"),))


def in_an_order_of_its_own(rng: np.random.Generator, share: float) -> Sample:
    order = rng.permutation(len(IDS))[:50]
    return Sample((Stratum("task", tuple(IDS[i] for i in order), right(rng, share, 2)[:, order], "runs"),))


def told(found: Comparison | Level | None) -> tuple[float, float, float | None]:
    assert found is not None and found.interval is not None
    return found.interval.low, found.interval.high, found.p


@pytest.mark.parametrize("drawn", [several_seeds, grouped_tasks, mostly_alike, in_an_order_of_its_own])
@pytest.mark.parametrize("shares", [(0.7, 0.5), (0.5, 0.5)])
def test_a_difference_is_the_other_negated(
    drawn: Callable[[np.random.Generator, float], Sample], shares: tuple[float, float]
) -> None:
    rng = np.random.default_rng(len(drawn.__name__))
    one, other = (drawn(rng, share) for share in shares)
    low, high, p = told(compare(one, other))
    assert told(compare(other, one)) == pytest.approx((-high, -low, p), rel=1e-6)
    assert low < high and equivalence(one, other, 20) == equivalence(other, one, 20)


@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize("alike", [False, True])
def test_a_distance_of_curves_is_the_other_negated(seeds: int, alike: bool) -> None:
    """``alike``: more than half of what the probe's items are worth to the distance is exactly none."""
    rng = np.random.default_rng(seeds)

    def curve(bend: float) -> list[Point]:
        points = []
        for learned, kept in ((0.3, 0.9), (0.5, 0.8 - bend), (0.7, 0.6 - bend)):
            ends = np.repeat([[100.0], [0.0]], len(IDS) // 2, axis=0).T
            rarely = rng.random((seeds, len(IDS))) < 0.03
            values = np.where(rarely, 100 - ends, ends) if alike else right(rng, kept, seeds)
            points.append(
                Point(
                    Sample((Stratum("task", IDS, right(rng, learned, seeds), "t"),)),
                    Sample((Stratum("probe", IDS, values, "t"),)),
                )
            )
        return points

    curves = [curve(0.0), curve(0.15)]
    scale = Scale(None)
    low, high, p = told(level(curves, scale, mean_gap))
    assert told(level(curves[::-1], scale, mean_gap)) == pytest.approx((-high, -low, p), rel=1e-5, abs=1e-5)
    assert low < high
