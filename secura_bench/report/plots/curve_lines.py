"""A method's settings as a line in a picture: what was learned across, what was kept up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from matplotlib.axes import Axes

from secura_bench.report.plots.point_names import Box
from secura_bench.report.plots.style import Series
from secura_bench.report.study.frontier import Line


def draw_line(axes: Axes, line: Line, look: Series, size: float = 1.0) -> None:
    """Draw one curve and its points; past its end, where the method learned and kept less, dotted."""
    places = places_of(line)
    axes.plot(*along([(x, y) for x, y, _ in places]), color=look.colour, lw=0.7, ls=":", zorder=1)
    axes.plot(*along([(x, y) for x, y, on in places if on]), color=look.colour, zorder=2)
    for each, cell, (x, y, on) in zip(line.placings, line.kept, places, strict=True):
        across = [each.learned.low, each.learned.high] if each.learned.interval else []
        up = [cell.low, cell.high] if cell.interval else []
        axes.plot(across, [y] * len(across), color=look.colour, lw=0.7, alpha=0.35, zorder=1)
        axes.plot([x] * len(up), up, color=look.colour, lw=0.7, alpha=0.35, zorder=1)
        face = look.colour if cell.interval else "white"
        axes.plot(x, y, look.marker, ms=size * (4.5 if on else 3), color=look.colour, mfc=face, zorder=3)


def places_of(line: Line) -> list[tuple[float, float, bool]]:
    """Return each setting's learned and kept, and whether it lies on the curve."""
    return [
        (each.learned.value, cell.value, each.method not in line.beaten)
        for each, cell in zip(line.placings, line.kept, strict=True)
    ]


def ends_of(line: Line, look: Series) -> Iterator[tuple[float, float, str, str]]:
    """Yield where a curve begins and ends, the settings there, and its colour."""
    on = [(x, y, value) for (x, y, there), value in zip(places_of(line), line.values, strict=True) if there]
    for x, y, value in dict.fromkeys((on[0], on[-1])):
        if not math.isnan(value):
            yield x, y, f"{value:g}", look.colour


def covered_by(line: Line) -> Iterator[Box]:
    """Yield where a curve runs, as small boxes: what names would better not cover."""
    for x, y in zip(*along([(x, y) for x, y, _ in places_of(line)]), strict=True):
        yield x, y, x, y


def along(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return points along the line through ``points``, so dense that it is straight in the numbers on any scale."""
    found = [
        (x + (to_x - x) * step / 16, y + (to_y - y) * step / 16)
        for (x, y), (to_x, to_y) in pairwise(points)
        for step in range(17)
    ]
    return [x for x, _ in found], [y for _, y in found]
