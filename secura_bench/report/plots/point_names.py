"""Names beside the points of a scatter, each where nobody takes it for another's; or a legend instead."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from secura_bench.report.plots.style import Series

Box = tuple[float, float, float, float]
"""Left, bottom, right and top."""


def name_points(
    figure: Figure,
    axes: Axes,
    points: Sequence[tuple[float, float, str, str]],
    bars: Sequence[Box] = (),
    radius: float = 3.2,
) -> bool:
    """Write each point's name beside it, or none where not all have a place; return which.

    A place lies within the axes, upon no name and no point, and nearer to its own point than to any other; a thin line
    leads to it where it does not lie right beside the point, and crosses no name and no point. Of such places the first
    without an error bar below is taken. ``points`` are x, y, name (as it is drawn) and colour, ``bars`` the error bars,
    all in the units of the data; ``radius`` is that of the largest point. The most crowded points choose first.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    frame = axes.get_window_extent(renderer).extents
    dot, step = (size * figure.dpi / 72 for size in (radius, 3.2))
    drawn = [axes.transData.transform((x, y)) for x, y, _, _ in points]
    centres = [(float(cx), float(cy)) for cx, cy in drawn]
    dots: list[Box] = [(cx - dot, cy - dot, cx + dot, cy + dot) for cx, cy in centres]
    crossed: list[Box] = []
    for left, bottom, right, top in bars:
        (x0, y0), (x1, y1) = axes.transData.transform([(left, bottom), (right, top)])
        crossed.append((x0 - 1, y0 - 1, x1 + 1, y1 + 1))
    texts = [
        axes.annotate(
            name, xy=(x, y), xytext=(0, 0), textcoords="offset points", color=colour, fontsize=7, zorder=5,
            bbox={"fc": "w", "ec": "none", "pad": 0.3, "alpha": 0.7},
        )
        for x, y, name, colour in points
    ]  # fmt: skip
    boxes = [_extent(text.get_window_extent(renderer)) for text in texts]
    beside = dot + 0.7 * step
    places: dict[int, Box] = {}
    lines: list[Box] = []
    for i in sorted(range(len(points)), key=lambda i: (-_crowd(centres, i, 15 * step), i)):
        cx, cy = centres[i]
        others = [other for j, other in enumerate(dots) if math.dist(centres[j], centres[i]) > dot]
        taken = [*places.values(), *others]
        width, height = boxes[i][2] - boxes[i][0], boxes[i][3] - boxes[i][1]
        possible = [
            (cx + dx, cy + dy, cx + dx + width, cy + dy + height) for dx, dy in _offsets(width, height, dot, step)
        ]
        free = [
            place
            for place in possible
            if _inside(place, frame)
            and not _meet([place], [*taken, *lines])
            and not _meet(_leading(cx, cy, place, beside), taken)
            and not any(_apart(place, other) < min(2 * step, _apart(place, dots[i]) + step / 2) for other in others)
        ]
        if not free:
            for text in texts:
                text.remove()
            return False
        places[i] = next((place for place in free if not _meet([place], crossed)), free[0])
        lines += _leading(cx, cy, places[i], beside)
    scale = 72 / figure.dpi
    for i, place in places.items():
        (cx, cy), (x, y, _, colour) = centres[i], points[i]
        texts[i].set_position(((place[0] - cx) * scale, (place[1] - boxes[i][1]) * scale))
        if _leading(cx, cy, place, beside):
            near_x, near_y = _nearest(cx, cy, place)
            axes.annotate(
                "",
                xy=(x, y),
                xytext=((near_x - cx) * scale, (near_y - cy) * scale),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "shrinkA": 0, "shrinkB": 3},
            )
    return True


def legend(figure: Figure, names: Sequence[tuple[str, Series]], beside: bool = True, title: str = "") -> None:
    """Name what is drawn ``beside`` a figure's axes, or below them, in order, under a ``title``."""
    handles = [Line2D([], [], color=look.colour, marker=look.marker, ms=4.5, lw=0, label=name) for name, look in names]
    columns = 1 if beside else max(1, min(6, int(90 / (4 + max(len(name) for name, _ in names)))))
    figure.legend(
        handles=handles, loc="outside right upper" if beside else "outside lower center", ncols=columns, fontsize=6.5,
        handletextpad=0.2, columnspacing=1.0, title=title or None, title_fontsize=6, alignment="left",
    )  # fmt: skip


def _extent(found: Bbox) -> Box:
    return float(found.x0), float(found.y0), float(found.x1), float(found.y1)


def _crowd(centres: Sequence[Sequence[float]], i: int, reach: float) -> int:
    """Return how many other points lie within ``reach`` of one."""
    return sum(math.dist(centre, centres[i]) < reach for centre in centres)


def _apart(one: Box, other: Box) -> float:
    """Return how far two boxes lie apart, 0 where they meet."""
    across = max(one[0] - other[2], other[0] - one[2], 0.0)
    return math.hypot(across, max(one[1] - other[3], other[1] - one[3], 0.0))


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
