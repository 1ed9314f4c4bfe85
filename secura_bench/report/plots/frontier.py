"""Methods at equal learning: each a line through its settings, what was learned across, what was kept up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secura_bench.report.plots.kept_scale import around_100
from secura_bench.report.plots.point_names import Box, legend, name_points
from secura_bench.report.plots.style import COLUMN, Picture, Series, explained, label, name_of, series, write_below
from secura_bench.report.study.frontier import Frontier, Line, every_frontier
from secura_bench.report.study.study import Study


def methods_at_equal_learning(study: Study) -> Iterator[Picture]:
    """Yield the curves a protocol: learned (right) against kept (up), light 95 % bars, the ends' settings named."""
    for found in every_frontier(study):
        yield Picture(f"frontier-{found.protocol.id}", _drawn(found))


def _drawn(found: Frontier) -> Figure:
    figure = Figure(figsize=(COLUMN + 1.4, 2.8))
    axes = figure.add_subplot()
    look = series([line.name for line in found.lines])
    for line in found.lines:
        _draw_line(axes, line, look[line.name])
    before = found.lines[0].placings[0].before
    axes.margins(0.12)
    axes.set_xlim(left=max(0, axes.get_xlim()[0]))
    axes.set_xlabel(f"learned: {found.elsewhere or found.learned.heading} on the new tasks")
    axes.set_title(f"{label(found.study.model)} · {found.protocol.heading} · at equal learning")
    probe = label(found.study.probe_of(found.protocol.id))
    cells = [cell for line in found.lines for cell in line.kept]
    if found.in_percent:
        far = around_100(axes, cells)
        axes.set_ylabel(f"kept: % of the base's {found.metric.heading} on {probe}{far}")
    else:
        axes.set_ylabel(f"{found.metric.heading} on {probe}")
    if not before.missing:
        axes.axvline(before.value, color="0.35", lw=0.7, ls=":", zorder=0)
        axes.annotate(
            "untrained", (before.value, 0), (2, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
            fontsize=6, color="0.35",
        )  # fmt: skip
    names = [name_of(line.name, *line.kept) for line in found.lines]
    said = [explained(names), "hollow: no interval" if any(cell.interval is None for cell in cells) else ""]
    said += ["dotted: past a curve's end"] if any(line.beaten for line in found.lines) else []
    write_below(figure, "; ".join(filter(None, said)))
    keys = {line.family.key.removeprefix("train.").removeprefix("methods.") for line in found.lines if line.family.key}
    shown = [(name, look[line.name]) for name, line in zip(names, found.lines, strict=True)]
    legend(figure, shown, title=f"at the ends: {keys.pop()}" if len(keys) == 1 else "at the ends: the setting")
    ends = [end for line in found.lines for end in _ends(line, look[line.name])]
    name_points(figure, axes, ends, [box for line in found.lines for box in _covered(line)])
    return figure


def _places(line: Line) -> list[tuple[float, float, bool]]:
    """Return each setting's learned and kept, and whether it lies on the curve."""
    return [
        (each.learned.value, cell.value, each.method not in line.beaten)
        for each, cell in zip(line.placings, line.kept, strict=True)
    ]


def _draw_line(axes: Axes, line: Line, look: Series) -> None:
    """Draw one curve and its points; past its end, where the method learned and kept less, dotted."""
    places = _places(line)
    axes.plot(*_along([(x, y) for x, y, _ in places]), color=look.colour, lw=0.7, ls=":", zorder=1)
    axes.plot(*_along([(x, y) for x, y, on in places if on]), color=look.colour, zorder=2)
    for each, cell, (x, y, on) in zip(line.placings, line.kept, places, strict=True):
        across = [each.learned.low, each.learned.high] if each.learned.interval else []
        up = [cell.low, cell.high] if cell.interval else []
        axes.plot(across, [y] * len(across), color=look.colour, lw=0.7, alpha=0.35, zorder=1)
        axes.plot([x] * len(up), up, color=look.colour, lw=0.7, alpha=0.35, zorder=1)
        face = look.colour if cell.interval else "white"
        axes.plot(x, y, look.marker, ms=4.5 if on else 3, color=look.colour, mfc=face, zorder=3)


def _ends(line: Line, look: Series) -> Iterator[tuple[float, float, str, str]]:
    """Yield where a curve begins and ends, and the settings there."""
    on = [(x, y, value) for (x, y, there), value in zip(_places(line), line.values, strict=True) if there]
    for x, y, value in dict.fromkeys((on[0], on[-1])):
        if not math.isnan(value):
            yield x, y, f"{value:g}", look.colour


def _covered(line: Line) -> Iterator[Box]:
    """Yield where a curve runs, as small boxes: what names would better not cover."""
    for x, y in zip(*_along([(x, y) for x, y, _ in _places(line)]), strict=True):
        yield x, y, x, y


def _along(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return points along the line through ``points``, so dense that it is straight in the numbers on any scale."""
    found = [
        (x + (to_x - x) * step / 16, y + (to_y - y) * step / 16)
        for (x, y), (to_x, to_y) in pairwise(points)
        for step in range(17)
    ]
    return [x for x, _ in found], [y for _, y in found]
