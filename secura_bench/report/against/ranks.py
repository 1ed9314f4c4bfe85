"""How the order of the methods here agrees with a published one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from secura_bench.report.statistics import Interval
from secura_bench.report.tables.table import Column, Number, Row

RESAMPLES = 10_000
FEWEST = 5
"""The fewest methods of which an interval is given: of four there are 35 different resamples."""
_SEED = 0
_Floats = npt.NDArray[np.float64]


def rank_correlation(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float] | None:
    """Return Spearman's rho and Kendall's tau-b; None of fewer than three, or where all on one side are equal."""
    if len(ours) < 3 or len(set(ours)) == 1 or len(set(theirs)) == 1:
        return None
    from scipy.stats import kendalltau, spearmanr

    return float(spearmanr(ours, theirs).statistic), float(kendalltau(ours, theirs).statistic)


def rank_intervals(ours: Sequence[float], theirs: Sequence[float]) -> tuple[Interval, Interval] | None:
    """Return the 95 % intervals of rho and tau-b: percentiles of a bootstrap over the methods; None of too few.

    A resample in which all on one side are equal has neither, and is left out. Efron and Tibshirani 1993, chapter 13.
    """
    if len(ours) < FEWEST or rank_correlation(ours, theirs) is None:
        return None
    count = len(ours)
    weights = np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
    both = weighted_correlations(np.asarray(ours), np.asarray(theirs), weights)
    low, high = np.nanpercentile(both, [2.5, 97.5], axis=1)
    return Interval(float(low[0]), float(high[0])), Interval(float(low[1]), float(high[1]))


def weighted_correlations(ours: _Floats, theirs: _Floats, weights: _Floats) -> _Floats:
    """Return Spearman's rho and Kendall's tau-b, each method counted as often as ``weights`` (resamples × n) say.

    With S the signs of all differences, tau-b is wᵀ(S∘T)w / √(wᵀ(S∘S)w · wᵀ(T∘T)w), and S w / 2 are the ranks less
    their mean, so that rho is their weighted correlation. NaN where all on one side are equal. Shape 2 × resamples.
    """
    S, T = (np.sign(x[:, None] - x[None, :]) for x in (ours, theirs))

    def form(matrix: _Floats) -> _Floats:
        return np.asarray(np.einsum("bi,ij,bj->b", weights, matrix, weights, optimize=True))

    r, s = weights @ S.T, weights @ T.T
    moments = [(weights * one * other).sum(axis=1) for one, other in ((r, s), (r, r), (s, s))]
    pairs = [form(S * T), form(S * S), form(T * T)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([shared / np.sqrt(one * other) for shared, one, other in (moments, pairs)])


def orders(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Return a sentence a column: how the order of the methods agrees with the published one, with its intervals."""
    said = []
    for index, column in enumerate(columns):
        entries = [row.entries[index] for row in rows if row.of.get("method") != "base"]
        there = [e for e in entries if isinstance(e, Number) and e.published is not None and not e.cell.missing]
        ours, theirs = [e.cell.value for e in there], [e.published for e in there if e.published is not None]
        found, intervals = rank_correlation(ours, theirs), rank_intervals(ours, theirs)
        if found is None:
            continue
        spread = [f" [{each.low:.2f}, {each.high:.2f}]" for each in intervals] if intervals else ["", ""]
        why = "" if intervals else f"; no interval of fewer than {FEWEST} methods"
        said.append(
            f"{column.heading}: {len(ours)} methods, τ {found[1]:.2f}{spread[1]}, ρ {found[0]:.2f}{spread[0]}{why}"
        )
    if not said:
        return []
    what = "Order of the methods against the published order (Kendall's τ, Spearman's ρ; 1 is the same; in brackets 95"
    return [f"{what} %, {RESAMPLES:,} bootstrap resamples of the methods). {'. '.join(said)}."]
