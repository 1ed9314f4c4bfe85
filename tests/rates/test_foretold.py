"""What is foretold of the tests of ``compare`` is what they do: three experiments, their draws seeded."""

from __future__ import annotations

import math

import pytest
from foretold import EXPERIMENTS

from secura_bench.report import statistics

SETS = 200
FEW = (
    "continuous, 90 rows, 4 seeds of sd 2, 8 points",
    "continuous, 60 rows in each of 3 tasks, 3 seeds of sd 2, 6 points",
    "right/wrong, 72 rows in 12 groups, 4 seeds of sd 2, 15 points",
)


@pytest.mark.parametrize("name", FEW)
def test_as_many_are_told_and_shown_equal_as_was_foretold(name: str) -> None:
    (each,) = (one for one in EXPERIMENTS if one.name == name)
    for power, share in (
        (statistics.power_to_tell, each.told(SETS)),
        (statistics.power_to_equate, each.equated(SETS)),
    ):
        foretold = power(each.components, each.gap, each.seeds)
        assert abs(share - foretold) < 3 * math.sqrt(foretold * (1 - foretold) / SETS), power.__name__
