"""The learning curve read backwards: curves known by construction are inverted, and nothing is extrapolated."""

from __future__ import annotations

import math
from itertools import product

import pytest

from secura_bench.tuning.curve import NotReachedError, setting_at

RATES = [1e-5 * 10 ** (i / 2) for i in range(7)]


@pytest.mark.parametrize(("slope", "rate"), product((-0.4, -1.3), (1e-5, 3.7e-5, 2.2e-4, 1e-3, 9.9e-3, 1e-2)))
def test_a_line_over_the_logarithm_is_inverted_exactly(slope: float, rate: float) -> None:
    losses = {each: 1.0 + slope * math.log(each) for each in RATES}
    assert setting_at(losses, 1.0 + slope * math.log(rate)) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize("points", [5, 9, 17, 33])
def test_a_smooth_curve_is_inverted_with_an_error_that_falls_with_the_square_of_the_step(points: int) -> None:
    """A logistic fall over log rate, whose inverse is closed: the error of linear interpolation is O(step²)."""

    def loss(rate: float) -> float:
        return 3.0 / (1.0 + math.exp(2.0 * math.log(rate / 1e-3)))

    grid = [1e-5 * 1000 ** (i / (points - 1)) * 10 ** (i / (points - 1)) for i in range(points)]
    step = math.log(grid[1] / grid[0])
    wanted = 1.2
    truth = 1e-3 * (3.0 / wanted - 1.0) ** 0.5
    found = setting_at({rate: loss(rate) for rate in grid}, wanted)
    assert abs(math.log(found / truth)) < 0.2 * step**2


def test_the_smallest_setting_is_taken_where_the_curve_rises_again() -> None:
    losses = {1e-4: 4.0, 1e-3: 1.0, 1e-2: 3.0}
    assert setting_at(losses, 2.0) == pytest.approx(1e-4 * 10 ** (2 / 3))
    assert setting_at(losses, 1.0) == 1e-3, "a point of the grid is itself"


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({1e-4: 4.0, 1e-3: 3.0}, r"reaches a loss of 3 \(at 0\.001\) and not 2"),
        ({1e-4: 1.0, 1e-3: 0.5}, r"learns more at every setting: its largest loss is 1 \(at 0\.0001\)"),
        ({1e-4: math.inf, 1e-3: math.inf}, "diverged at every setting"),
        ({1e-4: 3.0, 1e-3: math.inf, 1e-2: 1.0}, "beside a setting that diverged"),
    ],
)
def test_what_the_grid_does_not_reach_is_not_chosen(losses: dict[float, float], message: str) -> None:
    with pytest.raises(NotReachedError, match=message):
        setting_at(losses, 2.0)
