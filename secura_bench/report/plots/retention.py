"""Retention along the sequence of tasks, with bands (the paper's Figure 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secura_bench.report.plots.kept_scale import around_100
from secura_bench.report.plots.style import (
    PAGE,
    Picture,
    Series,
    explained,
    label,
    name_lines,
    name_of,
    series,
    write_below,
)
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.axis import probe_along_axis
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.speaking import speaking
from secura_bench.report.study.study import Study


def retention_along_the_sequence(study: Study) -> Iterator[Picture]:
    """Yield a picture a protocol and sequence: the probe as percent of the base model's, with its 95 % band."""
    if study.mode != "sequence":
        return
    for protocol in study.protocols:
        if protocol not in PROTOCOLS:
            continue
        metric, _ = speaking(study, PROTOCOLS[protocol])
        for number, sequence in enumerate(study.sequences):
            arms = [arm for arm in study.arms if arm.sequence == sequence]
            figure = Figure(figsize=(PAGE * 0.68, 2.5))
            axes = figure.add_subplot()
            drawn = _draw(axes, study, arms, protocol, metric.id)
            if not drawn:
                continue
            axes.set_xlim(0, len(sequence) + 0.08)
            far = around_100(axes, [cell for cells, _ in drawn for cell in cells])
            _name_tasks(axes, sequence)
            share = (
                f"% of the base's {metric.heading}"
                if metric.percent
                else f"base's {metric.heading} / {metric.heading}, %"
            )
            axes.set_ylabel(f"kept of {label(study.probe_of(protocol))}\n{share}{far}")
            names = [name for _, (_, name, _) in drawn]
            write_below(figure, explained(names))
            name_lines(figure, axes, [end for _, end in drawn])
            axes.set_title(f"{label(study.model)} · {PROTOCOLS[protocol].heading}")
            yield Picture("-".join(["retention", protocol, *([str(number + 1)] if number else [])]), figure)


def _draw(
    axes: Axes, study: Study, arms: Sequence[Arm], protocol: str, metric: str
) -> list[tuple[list[Cell], tuple[float, str, str]]]:
    """Draw each arm's line and band where it has a course; return its cells, and its end's height, name, colour."""
    look: dict[str, Series] = series(study.methods)
    ends = []
    for arm in arms:
        curve = [
            (place, cell, moment)
            for place, moment, cell in probe_along_axis(study, arm, protocol, metric, retention=True)
        ]
        curve = [each for each in curve if not each[1].missing]
        if len(curve) < 3:  # before and after: two numbers, which the tables and the scatter have, and no course
            continue
        x = [place for place, _, _ in curve]
        y = [cell.value for _, cell, _ in curve]
        style = look[arm.method]
        own = [i for i, (_, _, moment) in enumerate(curve) if moment.finished]
        axes.plot(x, y, color=style.colour, ls=style.dash, marker=style.marker, markevery=own, ms=3.2, clip_on=False)
        axes.fill_between(
            x,
            [cell.low for _, cell, _ in curve],
            [cell.high for _, cell, _ in curve],
            color=style.colour,
            alpha=0.13,
            lw=0,
        )
        cells = [cell for _, cell, _ in curve]
        ends.append((cells, (y[-1], name_of(arm.method, *cells), style.colour)))
    return ends


def _name_tasks(axes: Axes, sequence: Sequence[str]) -> None:
    places = np.arange(1, len(sequence) + 1)
    if len(sequence) > 5:
        axes.set_xticks([0, *places], ["base", *(str(place) for place in places)])
        axes.set_xlabel("tasks trained")
    else:
        axes.set_xticks([0, *places], ["base", *(f"+ {label(task)[:14]}" for task in sequence)])
