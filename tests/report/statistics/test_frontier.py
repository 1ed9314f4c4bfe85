"""Curves of learned against kept: their distance against closed forms, and how sure it is against plain differences."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from secura_bench.report.statistics import Sample, Stratum, compare, perplexity_ratio_interval
from secura_bench.report.statistics.frontier import (
    STEPS,
    Point,
    Scale,
    _pooled,
    beaten,
    common,
    gap_at,
    held_at,
    kept_at,
    level,
    mean_gap,
    useful,
)

Line = tuple[np.ndarray, np.ndarray]


def line(*points: tuple[float, float]) -> Line:
    values = np.array(points, dtype=float)
    return values[:, :1], values[:, 1:]


def sample(name: str, values: np.ndarray, runs: str = "") -> Sample:
    return Sample((Stratum(name, tuple(f"{i}" for i in range(values.shape[1])), values, runs),))


def drawn_point(rng: np.random.Generator, learned: float, kept: float, seeds: int = 1, n: int = 60) -> Point:
    """Return a setting whose scores are right or wrong at random."""
    scores = [100.0 * (rng.random((seeds, n)) < share / 100) for share in (learned, kept)]
    return Point(sample("task", scores[0], "t"), sample("probe", scores[1], "t"))


# Curves


def test_a_curve_is_straight_between_settings_and_ends_with_them() -> None:
    learned, kept = line((10, 99), (30, 95), (80, 60))
    at = np.array([[9.9], [10.0], [25.0], [55.0], [80.0], [80.1]])
    found = kept_at(learned, kept, at)[:, 0]
    assert np.isnan(found[[0, 5]]).all()
    assert found[1:5] == pytest.approx(np.interp(at[1:5, 0], learned[:, 0], kept[:, 0]))


def test_where_a_curve_crosses_a_level_twice_the_most_counts() -> None:
    learned, kept = line((10, 99), (60, 90), (40, 95), (80, 50))
    assert kept_at(learned, kept, np.array([[50.0]]))[0, 0] == pytest.approx(92.5), "not 91.8, nor 83.75"
    learned, kept = line((50, 80), (50, 70))
    assert kept_at(learned, kept, np.array([[50.0]]))[0, 0] == 80


def test_what_breaks_down_is_left_out_and_what_is_gentle_is_not() -> None:
    learned, kept = line((20, 90), (60, 95), (55, 70), (10, 5))
    assert beaten(learned, kept)[:, 0].tolist() == [False, False, True, True], "the first comes before the best"
    shown = useful(learned, kept)
    assert np.hstack(shown).tolist() == [[20, 90], [60, 95], [60, 95], [60, 95]]
    learned, kept = line((60, 90), (55, 95))
    assert not beaten(learned, kept).any(), "it keeps more"


def test_the_mean_difference_is_the_area_between_two_curves_by_its_width() -> None:
    one, other = line((0, 100), (50, 90), (100, 40)), line((20, 80), (100, 0))
    low, high = common([one, other])
    assert (low[0], high[0]) == (20, 100)
    area = (30 * (96 + 90) / 2 + 50 * (90 + 40) / 2) - 80 * (80 + 0) / 2
    # The trapezoids are exact but in the step that holds the bend, which is a corner of at most its own height.
    assert mean_gap([one, other])[0] == pytest.approx(area / 80, abs=80 / STEPS / 80)
    assert mean_gap([other, one])[0] == pytest.approx(-mean_gap([one, other])[0])
    assert gap_at([one, other], 75.0)[0] == pytest.approx(65 - 25)
    assert np.isnan(mean_gap([line((0, 100), (10, 99)), line((20, 80), (30, 70))])[0])
    assert mean_gap([line((50, 95)), one])[0] == pytest.approx(5), "a single setting, where it learned what it did"


# How sure


def test_two_single_settings_that_learn_alike_are_a_plain_difference() -> None:
    rng = np.random.default_rng(1)
    task = sample("task", np.full((12, 60), 50.0), "t")
    one, other = (sample("probe", 100.0 * (rng.random((12, 60)) < share), "t") for share in (0.8, 0.6))
    found = level([[Point(task, one)], [Point(task, other)]], Scale(None), partial(gap_at, at=50.0))
    plain = compare(one, other)
    assert found and plain and found.interval
    assert found.value == pytest.approx(plain.difference)
    wide, narrow = found.interval.high - found.interval.low, plain.interval.high - plain.interval.low
    assert wide == pytest.approx(narrow, rel=0.05)


def test_a_seed_moves_learned_and_kept_along_the_curve_together() -> None:
    """A seed that learns more and keeps less, just as the curve falls, makes nothing unsure but where on it one is."""
    moved = np.array([[-6.0], [0.0], [6.0]])
    noise = np.tile(np.linspace(-5, 5, 60), (3, 1))

    def curve(slope: float) -> list[Point]:
        return [
            Point(sample("task", x + moved + noise, "t"), sample("probe", 100 - x + slope * moved + noise, "t"))
            for x in (20.0, 50.0, 80.0)
        ]

    along, across = (level([curve(slope)], Scale(None), lambda lines: held_at(lines[0], 50.0)) for slope in (-1.0, 1.0))
    assert along and across and along.interval and across.interval
    assert along.interval.high - along.interval.low < 0.5 * (across.interval.high - across.interval.low)


def test_points_of_one_training_are_moved_together() -> None:
    moved = np.array([[-6.0], [0.0], [6.0]])
    noise = np.tile(np.linspace(-5, 5, 60), (3, 1))

    def width(training: str) -> float:
        curve = [
            Point(sample("task", x + noise, "t"), sample("probe", 80 + moved + noise, "t"), training)
            for x in (20.0, 80.0)
        ]
        found = level([curve], Scale(None), lambda lines: held_at(lines[0], 50.0))
        assert found and found.interval
        return found.interval.high - found.interval.low

    assert width("one") > 1.3 * width(""), "two that are independent are surer than one twice"


@pytest.mark.parametrize("seeds", [1, 8])
def test_a_perplexity_is_as_sure_as_by_its_own_ratio(seeds: int) -> None:
    """Against the bootstrap of the ratio itself, texts of unequal length, which takes no mean of items."""
    rng = np.random.default_rng(5)
    tokens = np.tile(rng.integers(20, 120, 80).astype(float), (seeds, 1))
    base = rng.normal(3.9, 0.5, (1, 80))
    loss = base + rng.normal(0.1, 0.05, (seeds, 80)) + rng.normal(0, 0.02, (seeds, 1))
    own = perplexity_ratio_interval("probe", loss, base, tokens)

    def by_nats(nats: np.ndarray) -> Sample:
        count = tokens[: len(nats)]
        ratio = (nats * count).sum(axis=1, keepdims=True) / count.sum(axis=1, keepdims=True)
        return sample("probe", ratio + count / count.mean() * (nats - ratio), "t" if nats is loss else "")

    under = Sample((replace(by_nats(base).strata[0], fixed=True),))
    curve = [Point(sample("task", np.full((seeds, 60), 50.0), "t"), by_nats(loss))]
    found = level([curve], Scale(under, nats=True), lambda lines: held_at(lines[0], 50.0))
    assert found and found.interval and own
    assert found.items_only == (seeds == 1)
    middle = 100 * np.exp((base * tokens[:1]).sum() / tokens[0].sum() - (loss * tokens).sum() / tokens.sum())
    assert found.value == pytest.approx(middle, rel=1e-3)
    assert found.interval.high - found.interval.low == pytest.approx(own.high - own.low, rel=0.15)


def test_two_that_say_the_same_of_a_text_are_told_apart_by_less_than_a_nat() -> None:
    values = np.tile(np.linspace(3, 5, 60), (1, 1))
    base, kept = (Sample((replace(sample("probe", values, runs).strata[0], nat=1.0),)) for runs in ("", "t"))
    curve = [Point(sample("task", np.full((1, 60), 50.0), "t"), kept)]
    found = level([curve, curve], Scale(base, nats=True), partial(gap_at, at=50.0))
    assert found and found.value == 0 and found.interval
    assert -15 < found.interval.low < 0 < found.interval.high < 15


def test_equal_scores_are_no_difference_and_few_items_no_interval() -> None:
    rng = np.random.default_rng(2)
    curve = [drawn_point(rng, learned, kept) for learned, kept in ((20, 90), (60, 70), (80, 40))]
    base = sample("probe", 100.0 * (rng.random((1, 60)) < 0.9))
    found = level([curve, curve], Scale(base), mean_gap)
    assert found and found.value == 0 and found.items_only and found.n == 60
    assert found.interval and found.interval.low < -1 < 1 < found.interval.high, "others than these 60 may differ"
    assert found.p and found.p > 0.9
    few = [drawn_point(rng, learned, 80, n=15) for learned in (20, 80)]
    none = level([few, few], Scale(None), mean_gap)
    assert none and none.interval is None and none.p is None and none.equal(2.0) is None


def test_curves_that_hardly_overlap_have_no_interval() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 9, (1, 60))
    noise -= noise.mean()

    def curve(*learned: float) -> list[Point]:
        noisy = (x + noise[:, rng.permutation(60)] for x in learned)
        return [Point(sample("task", values), drawn_point(rng, 0, 80).kept) for values in noisy]

    found = level([curve(10.0, 50.0), curve(49.9, 90.0)], Scale(None), mean_gap)
    assert found is not None and found.interval is None, "half of the draws leave nothing in common"


def test_items_that_only_some_settings_have_are_left_out() -> None:
    rng = np.random.default_rng(4)
    one, other = ([drawn_point(rng, x, 80) for x in (20, 80)] for _ in range(2))
    less = other[0].kept.strata[0]
    other[0] = Point(other[0].learned, Sample((less.only(less.ids[:40]),)))
    found = level([one, other], Scale(None), mean_gap)
    assert found is not None and found.n == 40


def test_the_degrees_of_freedom_are_welchs() -> None:
    two = np.array([1.0, 3.0])
    assert _pooled([two]) == pytest.approx((1.0, 1.0))
    error, freedom = _pooled([two] * 10)
    assert (error, freedom) == pytest.approx((np.sqrt(10), 10)), "28, but no more than there are"
    error, freedom = _pooled([two, 3 * two])
    assert (error, freedom) == pytest.approx((np.sqrt(10), 100 / (82 / 3) - 2))
    assert _pooled([np.array([2.0, 2.0])]) == (0.0, np.inf)
