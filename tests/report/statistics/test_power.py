"""Variance components against a layout whose components are known, power against Welch's test and textbook formulas."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import ttest_ind_from_stats

from secura_bench.report import statistics
from secura_bench.report.statistics import Components, Sample, Stratum
from secura_bench.report.statistics.components import Rows, Runs

PHI = NormalDist().cdf


def drawn(
    rng: np.random.Generator, seeds: tuple[int, int], groups: int, size: int = 1, tasks: int = 1
) -> tuple[Sample, Sample]:
    """Return two methods whose difference has variance 9 between groups; a seed moves them by sd 2 and 1, noise by 4.

    The tasks' rows are the same, runs are their own; groups have ``size`` rows that are alike.
    """
    ids = tuple(map(str, range(groups * size)))
    names = tuple(str(i // size) for i in range(groups * size)) if size > 1 else None
    sides: list[list[Stratum]] = [[], []]
    items = 20 * rng.standard_normal(groups)
    for task in range(tasks):
        own = 3 * rng.standard_normal(groups)
        for side, sd, count, taste in ((0, 2.0, seeds[0], own), (1, 1.0, seeds[1], 0 * own)):
            values = items + taste + sd * rng.standard_normal((count, 1)) + 4 * rng.standard_normal((count, groups))
            sides[side].append(Stratum("t", ids, np.repeat(values, size, axis=1), str(task), names))
    return Sample(tuple(sides[0])), Sample(tuple(sides[1]))


def known(groups: float, between: float = 0.0, seeds: tuple[float, ...] = (1.0, 1.0), noise: float = 0.0) -> Components:
    rows = {"t": Rows(round(groups), groups, groups, between)}
    return Components(rows, tuple(Runs(each, {"t": noise}) for each in seeds))


@pytest.mark.parametrize(("size", "tasks"), [(1, 1), (3, 1), (1, 3)])
def test_components_are_those_of_the_layout(size: int, tasks: int) -> None:
    """On average; truncation at 0 is not in sight with so many seeds."""
    rng = np.random.default_rng(0)
    found = [statistics.components_of(*drawn(rng, (9, 6), 60, size, tasks)) for _ in range(60)]
    whole = [each for each in found if each]
    assert len(whole) == len(found) and all(len(each.runs) == 2 * tasks and each.seeds_known for each in whole)
    assert whole[0].n == 60 * size and whole[0].rows["t"].groups == whole[0].rows["t"].effective == 60
    assert np.mean([each.rows["t"].between for each in whole]) == pytest.approx(9 / tasks, rel=0.1)
    for side, seeds in ((slice(None, None, 2), 4.0), (slice(1, None, 2), 1.0)):
        runs = [run for each in whole for run in each.runs[side]]
        assert np.mean([run.noise["t"] for run in runs]) == pytest.approx(16 / tasks**2, rel=0.05)
        assert np.mean([run.seeds for run in runs]) == pytest.approx(seeds / tasks**2, rel=0.25)  # type: ignore[arg-type]


def test_the_variance_is_that_of_the_difference() -> None:
    rng = np.random.default_rng(1)
    gaps = [one.value - other.value for one, other in (drawn(rng, (3, 3), 40) for _ in range(3000))]
    there = known(40, 9.0, (4.0, 1.0), 16.0)
    assert there.variance(3) == pytest.approx(9 / 40 + (4 + 1 + 2 * 16 / 40) / 3)
    assert np.var(gaps) == pytest.approx(there.variance(3), rel=0.1)
    assert there.times(2).variance(3) == pytest.approx(9 / 80 + (4 + 1 + 2 * 16 / 80) / 3)
    assert there.on({"t": 80}) == there.times(2)


@pytest.mark.parametrize(("seeds", "gap"), [(2, 12.0), (3, 3.0), (5, 2.0), (12, 1.0)])
@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_without_items_it_is_the_power_of_welchs_test(seeds: int, gap: float, spread: float) -> None:
    rng = np.random.default_rng(2)
    sides = [sd * rng.standard_normal((20_000, seeds)) + mean for sd, mean in ((1.0, gap), (spread, 0.0))]
    told = [(side.mean(axis=1), side.std(axis=1, ddof=1), seeds) for side in sides]
    p = ttest_ind_from_stats(*told[0], *told[1], equal_var=False).pvalue
    foretold = statistics.power_to_tell(known(1e6, 1e-9, (1.0, spread**2)), gap, seeds)
    assert foretold == pytest.approx(float((p < 0.05).mean()), abs=0.02)


@pytest.mark.parametrize("gap", [0.5, 2.0, 3.0])
def test_without_seeds_it_is_the_power_of_a_test_of_items(gap: float) -> None:
    there = known(4000, 4000.0, (0.0, 0.0))
    assert statistics.power_to_tell(there, gap, 4) == pytest.approx(PHI(gap - 1.96) + PHI(-gap - 1.96), abs=1e-3)
    assert statistics.power_to_equate(there, gap, 4) == pytest.approx(max(0, 2 * PHI(gap - 1.645) - 1), abs=1e-3)
    wanted = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
    assert statistics.smallest_told(there, 4) == pytest.approx(wanted, rel=1e-3)
    assert statistics.smallest_equated(there, 4) == pytest.approx(1.645 + NormalDist().inv_cdf(0.9), rel=1e-3)
    alone = replace(there, runs=(Runs(None, {}), Runs(0.0, {})))
    assert statistics.smallest_at_least(alone, 4) == pytest.approx(wanted / 2, rel=1e-6), (
        "four seeds, were they new rows"
    )
    assert statistics.least_answers(alone, gap) == math.ceil(4000 * (wanted / gap) ** 2)


@pytest.mark.parametrize("smallest", [statistics.smallest_told, statistics.smallest_equated])
def test_the_least_design_does_it_and_no_smaller_one(smallest) -> None:  # type: ignore[no-untyped-def]
    there = known(100, 200.0, (4.0, 1.0), 100.0)
    found = statistics.least_design(there, 2.0, smallest)
    assert found and smallest(there.times(found.rows / 100), found.seeds) == pytest.approx(2.0, rel=0.01)
    assert found.rows >= 100
    for seeds in (found.seeds - 2, found.seeds + 2):
        rows = found.seeds * found.rows * 0.97 / seeds
        assert smallest(there.times(rows / 100), seeds) > 2.0, "nothing of fewer answers does"


def test_rows_that_there_are_are_not_left_out() -> None:
    found = statistics.least_design(known(500, 0.01, (4.0, 4.0)), 2.0)
    assert found and found.rows == 500
    assert statistics.power_to_tell(known(500, 0.01, (4.0, 4.0)), 2.0, found.seeds) >= 0.8
    assert statistics.power_to_tell(known(500, 0.01, (4.0, 4.0)), 2.0, found.seeds - 2) < 0.8


def test_of_fewer_rows_than_a_test_needs_it_is_as_many_as_it_needs() -> None:
    few = known(4, 1.0)
    assert math.isinf(statistics.smallest_told(few, 9)) and statistics.smallest_told(few.times(5), 9) < 3
    assert statistics.least_design(few, 10.0) == statistics.least_design(few.times(5), 10.0)
    found = statistics.least_design(few, 10.0)
    assert found and found.rows == 20


def test_of_what_is_not_known_nothing_is_foretold() -> None:
    rng = np.random.default_rng(3)
    once = statistics.components_of(*drawn(rng, (1, 4), 40))
    assert once and not once.seeds_known and statistics.least_design(once, 2.0) is None
    assert statistics.power_to_tell(once, 50.0, 4) == 0 and math.isinf(statistics.smallest_told(once, 4))
    two = statistics.components_of(*drawn(rng, (2, 2), 40))
    assert two and statistics.power_to_tell(two, 50.0, 1) == statistics.power_to_equate(two, 50.0, 1) == 0
    assert statistics.components_of(*drawn(rng, (2, 2), 19)) is None, "too few for a test"
    assert statistics.power_to_tell(two.times(0.4), 50.0, 4) == 0, "as here"
    (one, _) = drawn(rng, (2, 2), 40)
    alike = statistics.components_of(one, one)
    assert alike and alike.rows["t"].between == 0
    same = Sample((replace(one.strata[0], values=np.zeros((2, 40))),))
    nothing = statistics.components_of(same, same)
    assert nothing and statistics.least_design(nothing, 2.0) is None and statistics.least_answers(nothing, 2.0) is None
    assert statistics.least_design(known(100, 1e7), 2.0) is None, "more rows than are worth naming"
    assert statistics.least_design(known(100, 1.0, (1e4, 1e4)), 2.0) is None, "more seeds"
