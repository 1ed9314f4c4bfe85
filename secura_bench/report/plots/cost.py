"""Cost against quality: what a method's learning and keeping take in time, memory and parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import fmean

from matplotlib.figure import Figure

from secura_bench.report.plots.kept_scale import around_100
from secura_bench.report.plots.point_names import legend
from secura_bench.report.plots.style import PAGE, Picture, explained, label, name_of, series
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.placing import placed
from secura_bench.report.study.study import Study
from secura_bench.results.record import RunRecord

COSTS: tuple[tuple[str, str, Callable[[RunRecord], float]], ...] = (
    ("seconds", "training, s", lambda record: record.cost.train_seconds),
    ("memory", "peak memory, GiB", lambda record: record.cost.peak_memory / 2**30),
    ("trainable", "trained parameters", lambda record: record.parameters.get("trainable") or 0.0),
)
"""Costs by id: heading and how they are read from a record."""


LARGEST = 68
"""The area of the largest point, in square points."""


def mean_cost(arms: tuple[Arm, ...], cost: Callable[[RunRecord], float]) -> float:
    """Return a cost's mean over the runs of ``arms``."""
    return fmean(cost(run.record) for arm in arms for run in arm.runs)


def cost_against_quality(study: Study) -> Iterator[Picture]:
    """Yield three panels a protocol: each cost across, what is kept up; size of a point: what was learned."""
    for protocol, metric, every in placed(study):
        found = [each for each in every if all(arm.trained_here for arm in each.arms)]  # of others' it is not known
        if not found:
            continue
        figure = Figure(figsize=(PAGE, 2.6 + 0.02 * len(found)), layout="constrained")
        look = series(study.methods)
        top = max(each.learned.value for each in found) or 1.0
        panels = figure.subplots(1, len(COSTS), sharey=True)
        for axes, (_, heading, cost) in zip(panels, COSTS, strict=True):
            points = [(mean_cost(each.arms, cost), each) for each in found]
            for x, each in points:
                style, size = look[each.method], 8 + (LARGEST - 8) * max(each.learned.value, 0) / top
                axes.scatter(
                    x,
                    each.retention.value,
                    s=size,
                    marker=style.marker,
                    color=style.colour if each.retention.interval else "white",
                    edgecolor=style.colour,
                    lw=0.8,
                    zorder=3,
                    clip_on=False,
                )
            if min(x for x, _ in points) > 0 and max(x for x, _ in points) > 20 * min(x for x, _ in points):
                axes.set_xscale("log")
            else:
                axes.locator_params(axis="x", nbins=4)
            axes.xaxis.set_major_formatter(lambda value, _: _short(value))
            axes.margins(x=0.12)
            axes.set_xlabel(heading)
        for axes in panels:
            far = around_100(axes, [each.retention for each in found])
        panels[0].set_ylabel(f"kept, % of the base's {metric.heading}{far}")
        panels[0].set_title(f"{label(study.model)} · {protocol.heading} · larger: learned more")
        names = [name_of(each.method, each.learned, each.retention) for each in found]
        marks = explained(names, any(each.retention.interval is None for each in found))
        legend(figure, [(name, look[each.method]) for name, each in zip(names, found, strict=True)], False, marks)
        yield Picture(f"cost-{protocol.id}", figure)


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
