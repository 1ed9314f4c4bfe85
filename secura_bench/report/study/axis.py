"""A sequence of tasks as an axis: where each moment of a run lies on it, and what the probe scored there."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.runs import Moment
from secura_bench.report.study.study import Study
from secura_bench.results.record import MIXED


def positions(moments: Sequence[Moment], sequence: Sequence[str]) -> list[float]:
    """Return where moments lie: 0 before training, k once the k-th task is done, in between by its steps."""
    longest: dict[str | None, int] = {}
    for moment in moments:
        longest[moment.after] = max(longest.get(moment.after, 0), moment.step)
    found = []
    for moment in moments:
        if moment.after is None:
            found.append(0.0)
            continue
        share = 1.0 if moment.finished else moment.step / max(longest[moment.after], 1)
        whole = moment.after == MIXED
        found.append(share * len(sequence) if whole else sequence.index(moment.after) + share)
    return found


def probe_along_axis(
    study: Study, arm: Arm, protocol: str, metric: str, retention: bool = False
) -> list[tuple[float, Moment, Cell]]:
    """Return position, moment and cell of an arm's probe along its sequence, from the untouched model on.

    A method that starts as the base model has no score of its own before training: the base's stands there.
    """
    curve = study.curve(arm, protocol, metric, retention)
    if study.base is not None and not any(moment.after is None for moment, _ in curve):
        measure = study.retention if retention else study.probe
        curve = [(Moment(None, 0, True), measure(study.base, protocol, metric)), *curve]
    places = positions([moment for moment, _ in curve], arm.sequence)
    return [(place, moment, cell) for place, (moment, cell) in zip(places, curve, strict=True)]


def moment_name(moment: Moment) -> str:
    """Return what a moment is called."""
    if moment.after is None:
        return "base"
    return f"after {moment.after}" if moment.finished else f"{moment.after}, step {moment.step}"
