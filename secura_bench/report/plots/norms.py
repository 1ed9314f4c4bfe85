"""Norms: of gradients along training by matrix (the paper's Figure 2), of weights before and after (Figure 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from secura_bench.report.plots.style import COLUMN, HATCHES, PAGE, Picture, label, name_lines, series
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.logged import gradient_norms, weight_changes
from secura_bench.report.study.study import Study

POINTS = 200
"""A curve is drawn through the means of at most so many stretches of training."""


def gradient_curves(arm: Arm) -> dict[str, list[tuple[float, float, float, float]]]:
    """Return, by matrix, (step, mean, low, high) along an arm's first run; steps count on over tasks.

    Low and high are the least and the greatest norm of the stretch that a point stands for.
    """
    return {name: _thinned(np.array(values)) for name, values in gradient_norms(arm.runs[0]).items()}


def _thinned(values: NDArray[np.floating]) -> list[tuple[float, float, float, float]]:
    stretches = np.array_split(values, min(POINTS, len(values)))
    return [tuple(map(float, (s[-1, 0], s[:, 1].mean(), s[:, 1].min(), s[:, 1].max()))) for s in stretches]  # type: ignore[misc]


def gradients(study: Study) -> Iterator[Picture]:
    """Yield a picture an arm: each trained matrix's gradient norm, a mean over layers, along training."""
    for number, arm in enumerate(study.arms):
        curves = gradient_curves(arm)
        if not curves:
            continue
        figure = Figure(figsize=(PAGE * 0.68, max(2.4, 0.75 + 0.125 * len(curves))))
        axes = figure.add_subplot()
        look = series(list(curves))
        for name, curve in curves.items():
            x, mean, low, high = np.array(curve).T
            axes.plot(x, mean, color=look[name].colour, ls=look[name].dash, lw=1.0)
            axes.fill_between(x, low, high, color=look[name].colour, alpha=0.13, lw=0)
        _logarithmic(axes, [mean for curve in curves.values() for _, mean, _, _ in curve if mean > 0])
        axes.margins(x=0)
        axes.set_xlabel("step")
        axes.set_ylabel("gradient norm")
        axes.set_title(f"{label(arm.method)} · {label(arm.trained_on)} · {label(study.model)}")
        name_lines(figure, axes, [(curve[-1][1], label(name), look[name].colour) for name, curve in curves.items()])
        yield Picture(f"gradients-{number + 1:02d}-{arm.method}-{arm.trained_on}", figure)


def _logarithmic(axes: Axes, norms: Sequence[float]) -> None:
    """Scale upwards by decades from the least norm on, and by itself below: a matrix without gradient lies at 0."""
    if not norms:
        return
    axes.set_yscale("symlog", linthresh=min(norms), linscale=0.4)
    decades = range(math.ceil(math.log10(min(norms))), math.ceil(math.log10(max(norms))) + 1)
    axes.set_yticks([0.0, *(10.0**k for k in decades)], minor=False)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, max(norms) * 1.6)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def weights(study: Study) -> Iterator[Picture]:
    """Yield one picture: how each method's adapted weights have grown in norm, before and after a normalisation."""
    changes = weight_changes(study.arms)
    if not changes:
        return
    names = sorted({name for change in changes.values() for name in change})
    figure = Figure(figsize=(COLUMN, 0.95 + 0.36 * len(changes)), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for row, change in enumerate(changes.values()):
            if name in change:
                axes.barh(row - 0.19, change[name].former, 0.36, fc="0.82", ec="0.2", lw=0.5, hatch=HATCHES[1])
                axes.barh(row + 0.19, change[name].updated, 0.36, fc="#0072B2", ec="0.2", lw=0.5)
        axes.axvline(0, color="0.2", lw=0.6)
        axes.set_yticks(range(len(changes)), [label(method) for method in changes])
        axes.set_ylim(len(changes) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_title(label(name))
        axes.margins(x=0.08)
    figure.supxlabel("change of the weights' norm, % of the base's", fontsize=7)
    shown = [
        Patch(fc="0.82", ec="0.2", lw=0.5, hatch=HATCHES[1], label="as trained"),
        Patch(fc="#0072B2", ec="0.2", lw=0.5, label="as normalised"),
    ]
    figure.legend(handles=shown, loc="outside upper right", ncols=2, fontsize=6.5, handlelength=1.6)
    yield Picture("weights", figure)
