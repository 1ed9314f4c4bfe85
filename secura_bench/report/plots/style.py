"""How pictures look: colours that the colour-blind tell apart, and never colour alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLUMN, PAGE = 3.4, 7.0
"""Widths in inches: of a paper's column, of its whole text."""

RC: Any = {  # its keys are a list of literals to matplotlib's types
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
    "svg.hashsalt": "secura-bench",
    "text.parse_math": False,  # a method's label may hold a dollar
}

# Okabe and Ito (2008), "Color universal design"; yellow last, for it is faint on white. Then four dark ones, black,
# indigo and wine (the latter two Tol's) and brown, which the colour-blind tell from those by their lightness.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A800",
    "#222222", "#332288", "#882255", "#7A3E00",
)  # fmt: skip
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
HATCHES = ("", "////", "....", "xxxx")


@dataclass(frozen=True)
class Series:
    """How one method is drawn everywhere."""

    colour: str
    dash: Any
    marker: str


def series(methods: Sequence[str]) -> dict[str, Series]:
    """Return how each method is drawn; no two of the first sixty share colour and dash, nor of 36 colour and marker."""
    return {
        method: Series(COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)])
        for i, method in enumerate(methods)
    }


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure and what its file is called."""

    name: str
    figure: Figure


def label(text: str) -> str:
    """Return ``text`` fit to be drawn: control and direction marks show as a box, long ones are cut."""
    shown = "".join("□" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn") else c for c in text)
    return shown if len(shown) <= 28 else shown[:27] + "…"


def name_lines(figure: Figure, axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each line's name at its end, right of the axes: ``ends`` are height, name and colour.

    Names that would lie upon one another are moved apart, and a thin line leads to where they belong.
    """
    height = float(figure.get_size_inches()[1]) - 0.75  # the axes' share, before the layout is known
    gap = 8.5 / 72 / height
    into = axes.transAxes.inverted()
    heights = [float(into.transform(axes.transData.transform((0, value)))[1]) for value, _, _ in ends]
    order = sorted(range(len(ends)), key=lambda i: heights[i])
    places = spread([heights[i] for i in order], gap, gap / 2, 1 - gap / 2)
    for i, place in zip(order, places, strict=True):
        _, name, colour = ends[i]
        axes.annotate(
            label(name),
            xy=(1, heights[i]),
            xycoords="axes fraction",
            xytext=(1.06, place),
            textcoords="axes fraction",
            va="center",
            ha="left",
            color=colour,
            fontsize=7,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "shrinkA": 0, "shrinkB": 1, "relpos": (0, 0.5)},
        )


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places for sorted ``values`` at least ``gap`` apart, near them, within low and high if they fit."""
    places: list[list[float]] = []  # clusters: sum of their values less offsets, count
    for value in values:
        places.append([min(max(value, low), high), 1])
        while len(places) > 1 and _end(places[-2], gap) + gap > _start(places[-1], gap):
            mean, count = places.pop()
            before, number = places[-1]
            places[-1] = [(before * number + mean * count) / (number + count), number + count]
    found = [_start(cluster, gap) + i * gap for cluster in places for i in range(int(cluster[1]))]
    if found and found[-1] > high:
        found = _pushed_down(found, gap, high)
    if found and found[0] < low:
        found = [max(place, low + i * gap) for i, place in enumerate(found)]
    return found


def _start(cluster: Sequence[float], gap: float) -> float:
    return cluster[0] - (cluster[1] - 1) * gap / 2


def _end(cluster: Sequence[float], gap: float) -> float:
    return cluster[0] + (cluster[1] - 1) * gap / 2


def _pushed_down(places: Sequence[float], gap: float, high: float) -> list[float]:
    last = len(places) - 1
    return [min(place, high - (last - i) * gap) for i, place in enumerate(places)]


Box = tuple[float, float, float, float]
"""Left, bottom, right and top."""


def name_points(
    figure: Figure,
    axes: Axes,
    points: Sequence[tuple[float, float, str, str]],
    bars: Sequence[Box] = (),
    radius: float = 3.2,
) -> None:
    """Write each point's name beside it where no other name, point, error bar or leading line lies.

    ``points`` are x, y, name and colour, ``bars`` the error bars, all in the units of the data; ``radius`` is that of
    the largest point. A thin line leads from a point to a name that does not lie right beside it.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    frame = axes.get_window_extent(renderer)
    dot, step = (size * figure.dpi / 72 for size in (radius, 3.2))
    spots = [axes.transData.transform((x, y)) for x, y, _, _ in points]
    dots: list[Box] = [(sx - dot, sy - dot, sx + dot, sy + dot) for sx, sy in spots]
    taken = list(dots)
    for left, bottom, right, top in bars:
        (x0, y0), (x1, y1) = axes.transData.transform([(left, bottom), (right, top)])
        taken.append((x0 - 1, y0 - 1, x1 + 1, y1 + 1))
    names: list[Box] = []
    for i, ((x, y, name, colour), (sx, sy)) in enumerate(zip(points, spots, strict=True)):
        in_the_way = [*names, *dots[:i], *dots[i + 1 :]]
        text = axes.annotate(
            label(name), xy=(x, y), xytext=(0, 0), textcoords="offset points", color=colour, fontsize=7, zorder=5
        )
        box = text.get_window_extent(renderer)
        scale = 72 / figure.dpi
        places = [
            (sx + dx, sy + dy, sx + dx + box.width, sy + dy + box.height)
            for dx, dy in _offsets(box.width, box.height, dot, step)
        ]
        lines = [_leading(sx, sy, place, dot + 0.7 * step) for place in places]
        faults = [
            (not _inside(place, frame.extents), _meet([place], names), _meet([place], taken), _meet(line, in_the_way))
            for place, line in zip(places, lines, strict=True)
        ]
        chosen = faults.index(min(faults))  # the first of the best; the worst fault is to leave the frame
        place, line = places[chosen], lines[chosen]
        names.append(place)
        taken += [place, *line]
        text.set_position(((place[0] - sx) * scale, (place[1] - sy - (box.y0 - sy)) * scale))
        if line:
            near_x, near_y = _nearest(sx, sy, place)
            axes.annotate(
                "",
                xy=(x, y),
                xytext=((near_x - sx) * scale, (near_y - sy) * scale),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "shrinkA": 0, "shrinkB": 3},
            )


def _nearest(x: float, y: float, box: Box) -> tuple[float, float]:
    """Return the point of a box that is nearest to a point."""
    return min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])


def _leading(x: float, y: float, name: Box, beside: float) -> list[Box]:
    """Return the line from a point to its name as small boxes, none where the name is no further than ``beside``."""
    to_x, to_y = _nearest(x, y, name)
    length = max(abs(to_x - x), abs(to_y - y))
    if length <= beside:
        return []
    steps = max(2, int(length / 3))
    found = [(x + (to_x - x) * k / steps, y + (to_y - y) * k / steps) for k in range(1, steps)]
    return [(px - 0.5, py - 0.5, px + 0.5, py + 0.5) for px, py in found]


def _offsets(width: float, height: float, dot: float, step: float) -> list[tuple[float, float]]:
    """Return where a label's lower left corner may lie from its point: beside it first, then further by steps."""
    found = []
    for far in range(13):
        reach = dot + step * (0.5 + 0.9 * far)
        right, left, middle = reach, -reach - width, -width / 2
        above, below, level = reach, -reach - height, -height / 2
        found += [(right, level), (left, level), (middle, above), (middle, below)]
        found += [(right, above), (right, below), (left, above), (left, below)]
    return found


def _inside(box: Box, frame: Sequence[float]) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _meet(some: Sequence[Box], others: Sequence[Box]) -> bool:
    return any(_overlap(one, other) for one in some for other in others)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
