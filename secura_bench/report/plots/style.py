"""How pictures look: colours that the colour-blind tell apart, and never colour alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secura_bench.report.study.cells import Cell
from secura_bench.report.tables.table import ONE_SEED

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
ON_DARK = (
    "#3D9BDC", "#F0803C", "#2FBF8F", "#E39CC4", "#FFC04D", "#8FD3FF", "#9A9A9A", "#D8CB3A",
    "#F4F4F4", "#9385F2", "#D4527F", "#B5793F",
)  # fmt: skip
"""The same for a dark ground, where black, indigo, wine and brown would be lost."""
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
    """Return ``text`` fit to be drawn: control and direction marks show as a box, long ones lose their middle."""
    shown = "".join("□" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn") else c for c in text)
    return shown if len(shown) <= 28 else f"{shown[:13]}…{shown[-14:]}"  # variants differ at their end


def name_of(method: str, *cells: Cell) -> str:
    """Return what a method is called beside its numbers, marked as in tables where they are of one seed."""
    return label(method) + ONE_SEED * any(cell.items_only and not cell.missing for cell in cells)


def explained(names: Iterable[str], hollow: bool = False) -> str:
    """Return what the marks beside ``names`` and at ``hollow`` points mean, nothing where there are none."""
    said = [f"{ONE_SEED} one seed: intervals are of its items only"] if any(n.endswith(ONE_SEED) for n in names) else []
    return "; ".join([*said, *(["hollow: too few items for an interval"] if hollow else [])])


def write_below(figure: Figure, text: str) -> None:
    """Write a small line below a figure's axes."""
    if text:
        figure.supxlabel(text, x=0.01, ha="left", fontsize=6, color="0.35")


def name_lines(figure: Figure, axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each line's name at its end, right of the axes: ``ends`` are height, name (as it is drawn) and colour.

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
            name,
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
