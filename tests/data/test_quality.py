"""What is known of rows: chance, the majority's answer, the place of the right option, duplicates and overlaps."""

from __future__ import annotations

import math
import random

import pytest

from secura_bench.data import quality
from secura_bench.tasks.row import Row


def mcq(answer: int, *choices: str, prompt: str = "?") -> Row:
    return Row("x", prompt, choices[answer], choices, answer)


def test_chance_and_majority_by_hand() -> None:
    rows = [mcq(0, "yes", "no"), mcq(0, "yes", "no"), mcq(1, "yes", "no"), mcq(1, "a", "b", "c", "d")]
    assert quality.chance(rows) == pytest.approx(100 * (3 / 2 + 1 / 4) / 4)
    assert quality.majority(rows) == 50.0  # "yes" is right twice, and so are (A) and (B)
    shuffled_texts = [mcq(0, "a", "b"), mcq(0, "c", "d"), mcq(0, "e", "f"), mcq(1, "g", "h")]
    assert quality.majority(shuffled_texts) == 75.0  # always "(A)"
    moved = [mcq(0, "same", "other"), mcq(1, "other", "same"), mcq(2, "x", "y", "same"), mcq(1, "x", "y")]
    assert quality.majority(moved) == 75.0  # always "same", at three places
    open_rows = [Row("1", "q", "a")]
    assert quality.chance(open_rows) is quality.majority(open_rows) is None
    assert quality.chance([*rows, *open_rows]) == quality.chance(rows)
    assert quality.with_options([*rows, *open_rows]) == len(rows) and quality.with_options(open_rows) == 0


def test_position_bias_is_pearsons_chi_square() -> None:
    rows = [mcq(0, "a", "b", "c")] * 20 + [mcq(1, "a", "b", "c")] * 5 + [mcq(2, "a", "b", "c")] * 5
    bias = quality.position_bias(rows)
    assert bias.counts == (20, 5, 5)
    assert bias.expected == pytest.approx((10, 10, 10))
    assert bias.statistic == pytest.approx(15.0)  # (100 + 25 + 25) / 10
    assert bias.p == pytest.approx(math.exp(-7.5))  # chi-square with 2 degrees of freedom
    assert quality.position_bias([Row("1", "q", "a")]) is None


def test_position_bias_of_lists_of_different_lengths_keeps_its_level() -> None:
    generator = random.Random(0)
    small = 0
    for _ in range(400):
        rows = [mcq(generator.randrange(n), *"abcdef"[:n]) for n in [2] * 60 + [3] * 30 + [6] * 10]
        small += quality.position_bias(rows).p < 0.1
    assert 22 <= small <= 60  # 40 expected, sd 6


def test_duplicates_leaks_and_overlaps() -> None:
    rows = [Row("1", "one", "x", group="g"), Row("2", "one", "y"), Row("3", "three", "x"), Row("4", "", "text")]
    assert quality.duplicates(rows) == 1
    assert quality.leaked(rows[:2], [Row("5", "new", "x", group="g"), Row("6", "one", "z"), rows[2]]) == 2
    long = "the quick brown fox jumps over the lazy dog and runs far away"  # 13 words
    other = Row("7", f"Question: {long.upper()}, today?", "a")
    assert (
        quality.overlap([Row("8", f"So {long}!", "b"), Row("9", long.rsplit(" ", 1)[0], "away"), rows[2]], [other]) == 2
    )
    assert quality.overlap([Row("10", "Three!", "X")], rows) == 1  # short, and all words the same
