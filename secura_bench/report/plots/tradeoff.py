"""Learning against retention: neither says anything without the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secura_bench.report.plots.style import COLUMN, Picture, Series, label, name_points, series
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.placing import front, placed
from secura_bench.report.study.study import Study


def learning_against_retention(study: Study) -> Iterator[Picture]:
    """Yield a scatter a protocol: what was learned (right), what was kept (up), 95 % bars, the Pareto front."""
    for protocol, found in placed(study):
        metric = protocol.main
        figure = Figure(figsize=(COLUMN, 2.7))
        axes = figure.add_subplot()
        points = [(each.learned, each.retention, each.method) for each in found]
        scatter(axes, points, series(study.methods))
        axes.axhline(100, color="0.35", lw=0.7, zorder=0)
        before = found[0].before
        if not before.missing:
            axes.axvline(before.value, color="0.35", lw=0.7, ls=":", zorder=0)
            axes.annotate(
                "untrained", (before.value, 1), (2, -7), xycoords=("data", "axes fraction"), textcoords="offset points",
                fontsize=6, color="0.35",
            )  # fmt: skip
        axes.set_xlabel(f"learned: {metric.heading} on the new tasks")
        axes.set_ylabel(f"kept: % of the base's {metric.heading} on {label(study.probe_of(protocol.id))}")
        axes.set_title(f"{label(study.model)} · {protocol.heading}")
        axes.set_ylim(bottom=max(0, axes.get_ylim()[0]))
        axes.set_xlim(left=max(0, axes.get_xlim()[0]) if metric.percent else None)
        name_points(
            figure,
            axes,
            [(x.value, y.value, name, series(study.methods)[name].colour) for x, y, name in points],
            [bar for x, y, _ in points for bar in _cross(x, y)],
        )
        yield Picture(f"tradeoff-{protocol.id}", figure)


def scatter(axes: Axes, points: Sequence[tuple[Cell, Cell, str]], look: dict[str, Series]) -> None:
    """Draw points with their intervals in both directions, and the Pareto front of them as a stair."""
    for x, y, name in points:
        style = look[name]
        axes.errorbar(
            x.value, y.value, xerr=_bars(x), yerr=_bars(y), fmt=style.marker, color=style.colour, ecolor=style.colour,
            elinewidth=0.7, ms=4.5, zorder=3,
        )  # fmt: skip
    best = front([(x.value, y.value) for x, y, _ in points])
    if len(best) > 1:
        stairs = [(points[i][0].value, points[i][1].value) for i in best]
        axes.step([x for x, _ in stairs], [y for _, y in stairs], where="pre", color="0.6", lw=0.9, zorder=1)
    axes.margins(0.18)


def _bars(cell: Cell) -> list[list[float]] | None:
    if cell.interval is None:
        return None
    return [[max(cell.value - cell.low, 0.0)], [max(cell.high - cell.value, 0.0)]]


def _cross(x: Cell, y: Cell) -> list[tuple[float, float, float, float]]:
    """Return a point's error bars as boxes of no width."""
    across = [] if x.interval is None else [(x.low, y.value, x.high, y.value)]
    return across if y.interval is None else [*across, (x.value, y.low, x.value, y.high)]
