"""The trials of a spec's ``tune``: an experiment of their own, and what its records say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.evaluation.protocols.protocol import Protocol
from secura_bench.foundation.errors import SpecError
from secura_bench.results.folder import RECORD
from secura_bench.results.read import read_record
from secura_bench.results.record import MIXED, RunRecord
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.grid import SUFFIX, every_setting, tuned_methods
from secura_bench.spec.tune import TRAINED, Tuned, TuneSpec
from secura_bench.tasks.catalog import expand

if TYPE_CHECKING:
    from secura_bench.plan.make import Plan

BEST_BY = ("teacher_forced", "loss")
"""What the best setting has least of: the mean loss of the reference answers' tokens, which has no ceiling."""
_SCORES_ANSWERS = ("teacher_forced", "generate")


def tune_of(spec: ExperimentSpec) -> TuneSpec:
    """Return the section ``tune``.

    Raises:
        SpecError: There is none.
    """
    if spec.tune is None:
        raise SpecError(f"{spec.experiment}: has no 'tune'.")
    return spec.tune


def learned_by(spec: ExperimentSpec) -> Protocol:
    """Return by which protocol's main score methods learn as much: the spec's first of those that score any answer.

    Equal losses would be no equal learning: of two methods with one loss, one may answer far more rows rightly.
    """
    return PROTOCOLS[next((name for name in spec.evaluate.protocols if name in _SCORES_ANSWERS), BEST_BY[0])]


def trial_experiment(spec: ExperimentSpec) -> ExperimentSpec:
    """Return the experiment whose runs are the trials: ``NAME-tune``, each method in each of its settings.

    All trials have the same rows, steps and seeds. They are scored by teacher forcing, and by what a match is made by.
    The bench's own parts of the probe are scored too, so that tables show what each setting keeps; nothing is chosen by
    that.
    """
    tune = tune_of(spec)
    steps = tune.steps or spec.train.steps
    on = spec.task_names if tune.on == TRAINED else expand((tune.on or "",))
    protocols = (*([learned_by(spec).id] if tune.choose == "match" else []), BEST_BY[0])
    methods = [
        m.model_copy(update={"train": {**{k: v for k, v in m.train.items() if k != "epochs"}, "steps": steps}})
        for m in tuned_methods(spec)
    ]
    writes = any(PROTOCOLS[protocol].generates for protocol in protocols)
    changed: dict[str, Any] = {
        "experiment": f"{spec.experiment}{SUFFIX}",
        "tasks": on,
        "orders": spec.orders[:1] if tune.on == TRAINED else ("given",),
        "probe": spec.own_parts or on,
        "probe_rows": spec.probe_rows if spec.own_parts else None,
        "methods": tuple(methods),
        "train": spec.train.model_copy(update={"steps": steps, "epochs": None}),
        "evaluate": spec.evaluate.model_copy(
            update={
                "protocols": tuple(dict.fromkeys(protocols)),
                "every": None,
                "tasks": "current",
                "metrics": (),
                "engine": spec.evaluate.engine if writes else "transformers",
            }
        ),
        "data": spec.data.model_copy(update={"held_out": "validation" if tune.on == TRAINED else "test"}),
        "keep": "nothing",
        "seeds": tune.seeds or spec.seeds[:1],
    }
    return every_setting(spec.model_copy(update=changed))


@dataclass(frozen=True)
class Trial:
    """One setting of one method, over its runs.

    Attributes:
        family: the method's label in the spec. folders: of the runs, below the results folder.
        loss: on held-out rows right after training each task, mean over tasks and runs; infinite if a run diverged.
        learned: the score there, likewise, by ``learned_by``; minus infinity if a run diverged.
        rows: how many were trained on and scored, of all tasks.
    """

    family: str
    settings: Mapping[str, Any]
    loss: float
    learned: float
    folders: tuple[str, ...]
    seconds: float
    rows: tuple[int, int]


def read_trials(plan: Plan, results: Path) -> tuple[Trial, ...] | None:
    """Return what the trials of ``plan`` came to, in its order; None while one of them is not done.

    Raises:
        RecordError: A record is damaged.
    """
    by_label: dict[str, list[tuple[str, RunRecord]]] = {}
    families = {}
    for run in plan.runs:
        if run.method.tuned is None:  # the base's
            continue
        path = results / run.folder / RECORD
        if not path.is_file():
            return None
        families[run.method.label] = run.method.tuned
        by_label.setdefault(run.method.label, []).append((run.folder.as_posix(), read_record(path)))
    protocol = learned_by(plan.spec)
    return tuple(_trial(tuned, by_label[label], plan.spec.task_names, protocol) for label, tuned in families.items())


def _trial(tuned: Tuned, runs: Sequence[tuple[str, RunRecord]], tasks: Sequence[str], protocol: Protocol) -> Trial:
    records = [record for _, record in runs]
    notes = [records[0].data[task] for task in tasks]
    return Trial(
        family=tuned.family,
        settings=tuned.settings,
        loss=_mean(records, *BEST_BY, math.inf),
        learned=_mean(records, protocol.id, protocol.main.id, -math.inf),
        folders=tuple(folder for folder, _ in runs),
        seconds=math.fsum(record.cost.train_seconds + record.cost.evaluate_seconds for record in records),
        rows=(sum(note.train_rows for note in notes), sum(note.test_rows for note in notes)),
    )


def _mean(records: Sequence[RunRecord], protocol: str, metric: str, worst: float) -> float:
    """Return a score on each task right after training it, mean over tasks and runs; ``worst`` where one has none."""
    found = []
    for record in records:
        scores = {
            score.task: score.values.get(metric)
            for score in record.scores
            if (score.protocol, score.role, score.finished) == (protocol, "task", True)
            and score.after in (score.task, MIXED)
        }
        found += [scores.get(task) for task in record.tasks]
    known = [value for value in found if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(found) else worst
