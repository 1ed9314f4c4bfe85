"""Methods at equal learning: each a line through its settings, what was learned across, what was kept up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secura_bench.report.plots.curve_lines import covered_by, draw_line, ends_of
from secura_bench.report.plots.kept_scale import FEW_TICKS, TICKS, around_100
from secura_bench.report.plots.point_names import legend, name_points
from secura_bench.report.plots.style import (
    COLUMN,
    PAGE,
    Picture,
    Series,
    explained,
    label,
    name_of,
    series,
    write_below,
)
from secura_bench.report.study.frontier import Frontier, Line, every_frontier
from secura_bench.report.study.nats import PERPLEXITY
from secura_bench.report.study.study import Study

TOGETHER = 6
"""How many curves one pair of axes bears; of more each has its own, the first beside it."""
_ACROSS = 4
_FIRST = Series("0.6", "-", "o")
_OTHER = Series("#0072B2", "-", "o")


def methods_at_equal_learning(study: Study) -> Iterator[Picture]:
    """Yield the curves a protocol: learned (right) against kept (up), light 95 % bars, the ends' settings named."""
    for found in every_frontier(study):
        drawn = _together(found) if len(found.lines) <= TOGETHER else _each_beside_the_first(found)
        yield Picture(f"frontier-{found.protocol.id}", drawn)


def _together(found: Frontier) -> Figure:
    figure = Figure(figsize=(COLUMN + 1.4, 2.8))
    axes = figure.add_subplot()
    look = series([line.name for line in found.lines])
    for line in found.lines:
        draw_line(axes, line, look[line.name])
    axes.margins(0.12)
    axes.set_xlim(left=max(0, axes.get_xlim()[0]))
    axes.set_xlabel(_learned(found))
    axes.set_title(_title(found))
    axes.set_ylabel(_kept(found, _fit_upward(axes, found)))
    _mark_untrained(axes, found)
    names = [_name(line) for line in found.lines]
    write_below(figure, _below(found, names))
    keys = {line.family.key.removeprefix("train.").removeprefix("methods.") for line in found.lines if line.family.key}
    shown = [(name, look[line.name]) for name, line in zip(names, found.lines, strict=True)]
    legend(figure, shown, title=f"at the ends: {keys.pop()}" if len(keys) == 1 else "at the ends: the setting")
    ends = [end for line in found.lines for end in ends_of(line, look[line.name])]
    name_points(figure, axes, ends, [box for line in found.lines for box in covered_by(line)])
    return figure


def _each_beside_the_first(found: Frontier) -> Figure:
    first, *others = found.lines
    down = -(-len(others) // _ACROSS)
    figure = Figure(figsize=(PAGE, 0.7 + 1.35 * down))
    panels = figure.subplots(down, _ACROSS, sharex=True, sharey=True, squeeze=False).flatten()
    far = ""
    for axes, line in zip(panels, others, strict=False):
        draw_line(axes, first, _FIRST, 0.7)
        draw_line(axes, line, _OTHER, 0.7)
        axes.margins(0.08)
        axes.set_title(_name(line), color=_OTHER.colour, fontsize=7)
        far = _fit_upward(axes, found, FEW_TICKS)
        _mark_untrained(axes, found, named=axes is panels[0])
    panels[0].set_xlim(left=max(0, panels[0].get_xlim()[0]))
    for axes in panels[len(others) :]:
        axes.set_axis_off()
    for axes in panels[len(others) - _ACROSS : len(others)]:
        axes.xaxis.set_tick_params(labelbottom=True)
    figure.suptitle(f"{_title(found)}, each beside {_name(first)} (grey)", x=0.01, ha="left", fontsize=8)
    figure.supylabel(_kept(found, far), fontsize=7.5)
    names = [_name(line) for line in found.lines]
    write_below(figure, "\n".join(filter(None, [_learned(found), _below(found, names)])))
    return figure


def _title(found: Frontier) -> str:
    return f"{label(found.study.model)} · {found.protocol.heading} · at equal learning"


def _name(line: Line) -> str:
    return name_of(line.name, *line.kept)


def _learned(found: Frontier) -> str:
    return f"learned: {found.elsewhere or found.learned.heading} on the new tasks"


def _kept(found: Frontier, far: str) -> str:
    probe, metric = label(found.study.probe_of(found.protocol.id)), found.metric.heading
    if not found.in_percent:
        return f"{metric} on {probe}"
    of = f"base's {metric} / {metric}" if found.metric.id == PERPLEXITY else f"of the base's {metric}"
    return f"kept: % {of} on {probe}{far}"


def _fit_upward(axes: Axes, found: Frontier, ticks: Sequence[float] = TICKS) -> str:
    """Fit the upward scale to what was kept; return what its label must say."""
    return around_100(axes, [cell for line in found.lines for cell in line.kept], ticks) if found.in_percent else ""


def _mark_untrained(axes: Axes, found: Frontier, named: bool = True) -> None:
    before = found.lines[0].placings[0].before
    if before.missing:
        return
    axes.axvline(before.value, color="0.35", lw=0.7, ls=":", zorder=0)
    if named:
        axes.annotate(  # on the side where a method would have learned less than nothing, so that few points lie there
            "untrained", (before.value, 0), (-2, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
            fontsize=6, color="0.35", rotation=90, ha="right", va="bottom",
        )  # fmt: skip


def _below(found: Frontier, names: list[str]) -> str:
    cells = [cell for line in found.lines for cell in line.kept]
    said = [explained(names), "hollow: no interval" if any(cell.interval is None for cell in cells) else ""]
    return "; ".join(filter(None, [*said, *["dotted: past a curve's end"] * any(line.beaten for line in found.lines)]))
