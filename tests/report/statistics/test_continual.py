"""Continual metrics on matrices that were worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from secura_bench.report.statistics import continual

NAN = math.nan

R = np.array([[90.0, 20.0, 10.0], [80.0, 70.0, 30.0], [60.0, 75.0, 50.0]])
BASE = np.array([10.0, 12.0, 14.0])
SEEN = np.where(np.triu(np.ones((3, 3)), 1).astype(bool), NAN, R)  # what is scored when only trained tasks are


def test_by_hand() -> None:
    assert continual.average_accuracy(R) == pytest.approx((60 + 75 + 50) / 3)
    assert continual.learning_accuracy(R) == pytest.approx((90 + 70 + 50) / 3)
    assert continual.backward_transfer(R) == pytest.approx(((60 - 90) + (75 - 70)) / 2)
    assert continual.forward_transfer(R, BASE) == pytest.approx(((20 - 12) + (30 - 14)) / 2)
    assert continual.forgetting(R) == pytest.approx(((90 - 60) + (70 - 75)) / 2)
    assert continual.intransigence(R, [95, 72, 70]) == pytest.approx((5 + 2 + 20) / 3)
    assert continual.retention(45.0, 60.0) == pytest.approx(75.0)


def test_the_best_score_may_come_after_the_first() -> None:
    """Where the definitions part: best minus final is 30, first minus final (Avalanche's) 10."""
    late = [[60.0, 0, 0], [80.0, 50.0, 0], [50.0, 50.0, 70.0]]
    assert continual.forgetting(late) == pytest.approx((30 + 0) / 2)
    assert -continual.backward_transfer(late) == pytest.approx((10 + 0) / 2)


def test_the_best_score_is_of_after_the_task_was_trained() -> None:
    """A task that the untrained model did better than the trained one: mammoth's maximum would take that 90."""
    assert continual.forgetting([[50.0, 90.0, 0], [50.0, 60.0, 0], [50.0, 40.0, 0]]) == pytest.approx((0 + 20) / 2)


def test_a_gap_is_shown_and_not_averaged_over() -> None:
    assert continual.average_accuracy(SEEN) == pytest.approx(continual.average_accuracy(R))
    assert continual.backward_transfer(SEEN) == pytest.approx(continual.backward_transfer(R))
    assert continual.forgetting(SEEN) == pytest.approx(continual.forgetting(R))
    assert math.isnan(continual.forward_transfer(SEEN, BASE))
    holed = SEEN.copy()
    holed[2, 0] = NAN
    assert math.isnan(continual.average_accuracy(holed))
    assert math.isnan(continual.backward_transfer(holed))
    assert math.isnan(continual.forgetting(holed))


def test_one_task_has_no_transfer_and_no_forgetting() -> None:
    assert continual.average_accuracy([[40.0]]) == continual.learning_accuracy([[40.0]]) == 40.0
    assert math.isnan(continual.backward_transfer([[40.0]]))
    assert math.isnan(continual.forward_transfer([[40.0]], [10.0]))
    assert math.isnan(continual.forgetting([[40.0]]))
    assert math.isnan(continual.retention(40.0, 0.0))


def test_arguments_stay_as_they_are() -> None:
    matrix, base = R.tolist(), BASE.tolist()
    for metric in (continual.average_accuracy, continual.backward_transfer, continual.forgetting):
        metric(matrix)
    continual.forward_transfer(matrix, base)
    continual.intransigence(matrix, base)
    assert matrix == R.tolist()
    assert base == BASE.tolist()


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        continual.average_accuracy([[1.0, 2.0]])
    with pytest.raises(ValueError, match="one score for each of 3"):
        continual.forward_transfer(R, [1.0])
