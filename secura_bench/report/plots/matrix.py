"""Accuracy matrices as heat maps: after each task (down), the score on every task (across)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from secura_bench.report.plots.style import Picture, label
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.families import families
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.study import Matrix, Study
from secura_bench.report.tables.table import ONE_SEED


def accuracy_matrices(study: Study) -> Iterator[Picture]:
    """Yield a heat map a protocol and arm; the diagonal, each task just learned, is framed.

    Settings of one method are points of its curve, and have none: there are dozens of them.
    """
    if study.mode != "sequence":
        return
    settings = {method for family in families(study) for method in family.methods}
    for protocol in study.protocols:
        if protocol not in PROTOCOLS or not PROTOCOLS[protocol].main.percent:
            continue
        for number, arm in enumerate(study.arms):
            if arm.method in settings:
                continue
            matrix = study.matrix(arm, protocol, PROTOCOLS[protocol].main.id)
            if len(matrix.after) > 1 and np.isfinite(matrix.values[1:]).any():
                yield Picture(
                    f"matrix-{protocol}-{number + 1:02d}-{arm.method}", _heat_map(study, arm, protocol, matrix)
                )


def _heat_map(study: Study, arm: Arm, protocol: str, matrix: Matrix) -> Figure:
    rows, columns = matrix.values.shape
    cell, names = (0.42, 0.95) if columns <= 6 else (0.345, 1.0)
    wide, high = max(columns * cell + names, 2.6), rows * cell * 0.72 + names + 0.25
    figure = Figure(figsize=(wide, high))
    axes = figure.add_subplot()
    image = axes.imshow(np.ma.masked_invalid(matrix.values), cmap="cividis", vmin=0, vmax=100, aspect="auto")
    axes.set_facecolor("0.94")
    for i, j in np.ndindex(rows, columns):
        value = matrix.values[i, j]
        if np.isfinite(value):
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=6.5, color="k" if value > 52 else "w")
        if matrix.after[i] == matrix.tasks[j]:
            axes.add_patch(_frame(j, i))
    axes.set_xticks(
        range(columns), [label(task) for task in matrix.tasks], rotation=40, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(rows), ["base", *(f"after {label(str(task))}" for task in matrix.after[1:])])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    called = f"{label(arm.method)}{ONE_SEED * (len(arm.runs) == 1)}"
    axes.set_title(f"{called} · {PROTOCOLS[protocol].heading} {PROTOCOLS[protocol].main.heading}")
    figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02).outline.set_visible(False)
    return figure


def _frame(j: int, i: int) -> Rectangle:
    return Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, fill=False, ec="w", lw=1.2)
