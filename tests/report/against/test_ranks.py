"""The rank correlations of a bootstrap over methods, against SciPy's on the resamples written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from secura_bench.report.against.ranks import rank_correlation, rank_intervals, weighted_correlations


def test_weighted_correlations_are_scipys_of_the_repeated_methods() -> None:
    draw = np.random.default_rng(3)
    ours, theirs = draw.normal(size=9).round(1), draw.normal(size=9).round(1)
    theirs[4] = theirs[2]  # a tie of its own
    weights = draw.multinomial(9, np.full(9, 1 / 9), 50).astype(float)
    found = weighted_correlations(ours, theirs, weights)
    for index, counts in enumerate(weights.astype(int)):
        one, other = np.repeat(ours, counts), np.repeat(theirs, counts)
        assert found[0, index] == pytest.approx(spearmanr(one, other).statistic)
        assert found[1, index] == pytest.approx(kendalltau(one, other).statistic)


def test_one_order_is_one_and_few_methods_have_no_interval() -> None:
    ours = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    found = rank_intervals(ours, [10 * value for value in ours])
    assert found is not None and all((each.low, each.high) == pytest.approx((1.0, 1.0)) for each in found)
    assert rank_correlation(ours, ours[::-1]) == pytest.approx((-1.0, -1.0))
    assert rank_intervals(ours[:4], ours[:4]) is None and rank_correlation(ours[:2], ours[:2]) is None
    assert rank_correlation(ours, [1.0] * 6) is None
