"""Scores as rows: one of a run's scores, or one item's, a row; what the tidy CSV and data frames are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from secura_bench.report.study.runs import Run
from secura_bench.report.study.study import Study
from secura_bench.results.record import Score

PLACE = (
    "experiment", "model", "mode", "protocol", "method", "sequence", "seed", "at", "after", "step", "role", "task",
)  # fmt: skip
"""What tells one score from another, in the order of the tidy CSV's columns."""

Place = dict[str, str | int | None]


def places(studies: Sequence[Study]) -> Iterator[tuple[Place, Run, Score]]:
    """Yield every score of every run with its place; ``seed`` is None of the base, ``after`` before training."""
    told: set[int] = set()  # the base's runs belong to the studies of both modes
    for study in studies:
        labels = {id(run): arm.method for arm in study.arms for run in arm.runs}
        for run in (run for run in study.runs if id(run) not in told):
            told.add(id(run))
            record = run.record
            common: Place = {"experiment": record.experiment, "model": record.model["label"], "mode": record.mode}
            common |= {"method": labels.get(id(run), "base"), "sequence": " ".join(record.tasks)}
            common["seed"] = record.seed if id(run) in labels else None
            for score in record.scores:
                place: Place = {"protocol": score.protocol, "at": score.stage, "after": score.after, "step": score.step}
                yield {**common, **place, "role": score.role, "task": score.task}, run, score


def score_rows(studies: Sequence[Study]) -> Iterator[dict[str, str | int | float | None]]:
    """Yield a row a score and metric: its place, ``metric``, ``number`` and ``n``, the items behind it."""
    for place, _, score in places(studies):
        for metric, value in score.values.items():
            if value is not None:
                yield {**place, "metric": metric, "number": value, "n": score.n}


def item_rows(studies: Sequence[Study]) -> Iterator[dict[str, str | int | float | None]]:
    """Yield a row an item and metric: its score's place, ``metric``, ``number`` and ``item``, its id.

    The probe's items stand once, under its parts; those of a run whose files are not there are left out.
    """
    for place, run, score in places(studies):
        items = run.items(score) if score.role != "probe" else None
        if items is None:
            continue
        for metric in dict.fromkeys(name for file in items.files for name in file):
            column = items.column(metric)
            for id_, value in zip(items.ids, [] if column is None else column, strict=column is not None):
                if np.isfinite(value):
                    yield {**place, "metric": metric, "number": float(value), "item": id_}
