"""The learning curve read backwards: curves known by construction are inverted, and nothing is extrapolated."""

from __future__ import annotations

import math
from itertools import product

import pytest

from secura_bench.tuning.curve import NotReachedError, setting_at

RATES = [1e-5 * 10 ** (i / 2) for i in range(7)]


@pytest.mark.parametrize(("slope", "rate"), product((0.4, 13.0), (1e-5, 3.7e-5, 2.2e-4, 1e-3, 9.9e-3, 1e-2)))
def test_a_line_over_the_logarithm_is_inverted_exactly(slope: float, rate: float) -> None:
    learned = {each: 90.0 + slope * math.log(each) for each in RATES}
    assert setting_at(learned, 90.0 + slope * math.log(rate)) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize("points", [5, 9, 17, 33])
def test_a_smooth_curve_is_inverted_with_an_error_that_falls_with_the_square_of_the_step(points: int) -> None:
    """A logistic rise over log rate, whose inverse is closed: the error of linear interpolation is O(step²)."""

    def learned(rate: float) -> float:
        return 90.0 / (1.0 + math.exp(-2.0 * math.log(rate / 1e-3)))

    grid = [1e-5 * 1000 ** (i / (points - 1)) * 10 ** (i / (points - 1)) for i in range(points)]
    step = math.log(grid[1] / grid[0])
    wanted = 54.0
    truth = 1e-3 * (90.0 / wanted - 1.0) ** -0.5
    found = setting_at({rate: learned(rate) for rate in grid}, wanted)
    assert abs(math.log(found / truth)) < 0.2 * step**2


def test_the_smallest_setting_is_taken_where_the_curve_falls_again() -> None:
    learned = {1e-4: 10.0, 1e-3: 40.0, 1e-2: 20.0}
    assert setting_at(learned, 30.0) == pytest.approx(1e-4 * 10 ** (2 / 3))
    assert setting_at(learned, 40.0) == 1e-3, "a point of the grid is itself"


@pytest.mark.parametrize(
    ("learned", "message"),
    [
        ({1e-4: 3.0, 1e-3: 40.0}, r"learns 40 at most \(at 0\.001\), and 50 is wanted"),
        ({1e-4: 60.0, 1e-3: 70.0}, r"learns 60 at least \(at 0\.0001\), and 50 is wanted"),
        ({1e-4: -math.inf, 1e-3: -math.inf}, "diverged at every setting"),
        ({1e-4: 40.0, 1e-3: -math.inf, 1e-2: 60.0}, "beside a setting at which it diverged"),
    ],
)
def test_what_the_grid_does_not_reach_is_not_chosen(learned: dict[float, float], message: str) -> None:
    with pytest.raises(NotReachedError, match=message):
        setting_at(learned, 50.0)
