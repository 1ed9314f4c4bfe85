"""Learning against retention: neither says anything without the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secura_bench.report.plots.kept_scale import around_100
from secura_bench.report.plots.point_names import legend, name_points
from secura_bench.report.plots.style import COLUMN, Picture, Series, explained, label, name_of, series, write_below
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.placing import Placing, front, placed
from secura_bench.report.study.protocols import Metric, Protocol
from secura_bench.report.study.study import Study


def learning_against_retention(study: Study) -> Iterator[Picture]:
    """Yield a scatter a protocol: what was learned (right), what was kept (up), 95 % bars, the Pareto front."""
    look = series(study.methods)
    for protocol, metric, found in placed(study):
        picture = _drawn(study, protocol, metric, found, look, named=True)
        yield picture or _drawn(study, protocol, metric, found, look, named=False)  # type: ignore[misc]


def _drawn(
    study: Study, protocol: Protocol, metric: Metric, found: Sequence[Placing], look: dict[str, Series], named: bool
) -> Picture | None:
    """Return the scatter, its points ``named`` where they lie, or in a legend; None if they cannot be named."""
    figure = Figure(figsize=(COLUMN if named else COLUMN + 1.4, 2.8))
    axes = figure.add_subplot()
    points = [(each.learned, each.retention, each.method) for each in found]
    scatter(axes, points, look)
    before = found[0].before
    if not before.missing:
        axes.axvline(before.value, color="0.35", lw=0.7, ls=":", zorder=0)
    axes.set_xlabel(f"learned: {metric.heading} on the new tasks")
    axes.set_title(f"{label(study.model)} · {protocol.heading}")
    axes.set_xlim(left=max(0, axes.get_xlim()[0]) if metric.percent else None)
    far = around_100(axes, [y for _, y, _ in points])
    axes.set_ylabel(f"kept: % of the base's {metric.heading} on {label(study.probe_of(protocol.id))}{far}")
    names = [name_of(each.method, each.learned, each.retention) for each in found]
    write_below(figure, explained(names, any(y.interval is None for _, y, _ in points)))
    if not before.missing:
        axes.annotate(
            "untrained", (before.value, 0), (2, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
            fontsize=6, color="0.35",
        )  # fmt: skip
    if named:
        written = name_points(
            figure,
            axes,
            [(x.value, y.value, name, look[each].colour) for (x, y, each), name in zip(points, names, strict=True)],
            [*_reference(axes, before), *(bar for x, y, _ in points for bar in _cross(x, y))],
        )
        if not written:
            return None
    else:
        legend(figure, [(name, look[each.method]) for name, each in zip(names, found, strict=True)])
    return Picture(f"tradeoff-{protocol.id}", figure)


def _reference(axes: Axes, before: Cell) -> list[tuple[float, float, float, float]]:
    """Return where the line at 100 and the word at the untrained model's lie."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    line = (left, 100.0, right, 100.0)
    if before.missing:
        return [line]
    return [line, (before.value, bottom, before.value + 0.17 * (right - left), bottom + 0.06 * (top - bottom))]


def scatter(axes: Axes, points: Sequence[tuple[Cell, Cell, str]], look: dict[str, Series]) -> None:
    """Draw points with their intervals in both directions, and the Pareto front of them as a stair."""
    for x, y, name in points:
        style = look[name]
        axes.errorbar(
            x.value, y.value, xerr=_bars(x), yerr=_bars(y), fmt=style.marker, color=style.colour, ecolor=style.colour,
            elinewidth=0.7, ms=4.5, zorder=3, mfc=style.colour if y.interval else "white",
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
