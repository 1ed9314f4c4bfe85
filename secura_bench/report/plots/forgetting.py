"""What forgetting consists of: of the items that the base model had right, what became of them."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from secura_bench.report.plots.style import COLUMN, HATCHES, Picture, explained, label, write_below
from secura_bench.report.statistics import ENOUGH
from secura_bench.report.study.forgetting import KINDS, every_forgetting
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import ONE_SEED

_COLOURS = {"kept": "#D9D9D9", "format": "#E69F00", "gone": "#D55E00", "cut": "#56B4E9"}
_NAMES = {"kept": "right still", "format": "format", "gone": "gone", "cut": "cut off"}


def what_was_forgotten(study: Study) -> Iterator[Picture]:
    """Yield stacked bars, one a method, where generation and choice were both scored, on items enough for shares."""
    found = {method: each for method, each in every_forgetting(study) if each.n >= ENOUGH}
    if not found:
        return
    figure = Figure(figsize=(COLUMN, 1.07 + 0.27 * len(found)))
    axes = figure.add_subplot()
    left = [0.0] * len(found)
    for kind, hatch in zip(KINDS, HATCHES, strict=True):
        widths = [getattr(each, kind) for each in found.values()]
        axes.barh(
            range(len(found)), widths, 0.68, left=left, fc=_COLOURS[kind], ec="0.15", lw=0.5, hatch=hatch,
            label=_NAMES[kind],
        )  # fmt: skip
        for row, (width, start) in enumerate(zip(widths, left, strict=True)):
            if width >= 7:
                axes.text(
                    start + width / 2, row, f"{width:.0f}", ha="center", va="center", fontsize=6.5,
                    bbox={"fc": "w", "ec": "none", "pad": 0.8, "alpha": 0.85},
                )  # fmt: skip
        left = [start + width for start, width in zip(left, widths, strict=True)]
    single = {arm.method for arm in study.arms if len(arm.runs) == 1}
    names = [label(method) + ONE_SEED * (method in single) for method in found]
    write_below(figure, explained(names))
    axes.set_yticks(range(len(found)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    n = max(each.n for each in found.values())
    axes.set_xlabel(f"% of the {n} items of {label(study.probe_of())}\nthat the base had right")
    figure.legend(loc="outside upper left", ncols=4, fontsize=6.5, handlelength=1.6, columnspacing=1.2)
    yield Picture("forgetting", figure)
