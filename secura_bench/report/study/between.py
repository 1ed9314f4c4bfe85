"""The arms of a run that was scored between the base's weights and its own."""

from __future__ import annotations

from collections.abc import Iterator

from secura_bench.report.study.runs import Run
from secura_bench.results.record import MethodNote


def runs_between(run: Run) -> Iterator[Run]:
    """Yield a run's end at each α as a run of its own: one family, told apart by ``interpolate``.

    It has the start's scores where there are some, and those of its end. Its cost is that of the one run behind all;
    notes and log stand with the run itself.
    """
    record = run.record
    start = [score for score in record.scores if score.after is None]
    for each in record.interpolated:
        label = f"{record.method['label']}-interpolate-{each.alpha}"
        method: MethodNote = {
            **record.method,
            "label": label,
            "tuned": {
                "family": record.method["label"],
                "settings": {"interpolate": each.alpha},
                "choose": "frontier",
            },
        }
        changes = {
            "method": method,
            "scores": (*start, *each.scores),
            "interpolated": (),
            "notes": (),
            "weight_norms": None,
        }
        yield Run(record.model_copy(update=changes), run.folder, between=True)
