"""The scale of what was kept: around 100 %, so that small differences can be seen beside large ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike

from secura_bench.report.statistics import Floats
from secura_bench.report.study.cells import Cell

NEAR, FAR = 10.0, 25.0
"""Percent points: where at least half lie nearer than the first to 100 and one further than the second, by decades."""
LINEAR = 3.0
"""Up to which distance from 100 the scale by decades is about linear."""
TICKS = (0, 20, 50, 70, 80, 90, 95, 100, 105, 110, 120, 150, 200, 300, 500)
FEW_TICKS = (0, 50, 80, 90, 95, 100, 105, 110, 120, 200, 500)
"""For small pictures, in which the others' labels would lie upon these."""


def around_100(axes: Axes, cells: Sequence[Cell], ticks: Sequence[float] = TICKS) -> str:
    """Fit the upward scale to ``cells``, their intervals and 100, draw the line at 100; return what the label must say.

    It is linear, unless most lie near 100 and some far away: then by decades of the distance from 100.
    """
    axes.axhline(100, color="0.35", lw=0.7, zorder=0)
    ends = [end for cell in cells for end in (cell.value, cell.low, cell.high) if np.isfinite(end)]
    low, high = min([*ends, 100.0]), max([*ends, 100.0])
    logarithmic = by_decades([cell.value for cell in cells])
    if logarithmic:
        axes.set_yscale("function", functions=(_forward, _inverse))
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    first, last = _forward([low, high]) if logarithmic else (low, high)
    margin = 0.08 * (last - first) or 1.0
    least = _forward(0.0) if logarithmic else 0.0  # a point at 0 is drawn whole
    edges = np.array([max(first - margin, least - 0.03 * (last - first)), last + margin])
    axes.set_ylim(*map(float, _inverse(edges) if logarithmic else edges))
    return ",\nlog around 100" if logarithmic else ""


def by_decades(kept: Sequence[float]) -> bool:
    """Return whether most of ``kept`` lie near 100 and some so far away that a linear scale would hide differences."""
    distances = [abs(value - 100) for value in kept]
    return max(distances, default=0) > FAR and 2 * sum(distance < NEAR for distance in distances) >= len(distances)


def _forward(values: ArrayLike) -> Floats:
    off = np.asarray(values, dtype=float) - 100
    return np.sign(off) * np.log1p(np.abs(off) / LINEAR)


def _inverse(values: ArrayLike) -> Floats:
    scaled = np.asarray(values, dtype=float)
    return 100 + np.sign(scaled) * LINEAR * np.expm1(np.abs(scaled))
