"""Make a results folder of records that hold the numbers which the SECURA paper printed, at the paper's protocol.

``python scripts/published_records.py FOLDER``, then ``secura-bench report FOLDER --against paper``: what is not "same"
there does not follow from the printed numbers themselves. The numbers are of no run of this bench, and say so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from secura_bench import __version__
from secura_bench.foundation.files import write_atomically
from secura_bench.publications.place import AVERAGE
from secura_bench.publications.publication import publication
from secura_bench.report.against.settings import data_of, first, options_of, probe_parts, training_of
from secura_bench.results.record import RunRecord

SEED = 114514
SECURA = publication("secura")
SOURCE, PROTOCOL = SECURA.file.source, SECURA.file.protocol
EXP3_TASKS = SECURA.file.experiments["exp3"].sequence
PROBE, PROBE_ROWS = "f_task", 500
STEPS = int(SECURA.file.train["steps"])


def records() -> Iterator[RunRecord]:
    """Yield a record for every model, task and method of Tables 8 to 10, and for every method of Tables 11 and 12."""
    separate: dict[tuple[str, str, str, str], dict[str, float]] = {}
    sequential: dict[tuple[str, str], dict[tuple[str, int], dict[str, float]]] = {}
    for place, value in SECURA.values.items():
        if place.step is not None:
            run = sequential.setdefault((place.model, place.method), {})
            run.setdefault((place.task, place.step), {})[place.metric] = value
        elif place.table in ("8", "9", "10") and place.model != AVERAGE:
            experiment = "exp2" if place.table == "10" else "exp1"
            separate.setdefault((experiment, place.model, place.method, place.task), {})[place.metric] = value
    for (experiment, model, method, task), values in separate.items():
        scored = ("task", task) if experiment == "exp1" else ("probe", PROBE)
        yield _record(experiment, model, method, (task,), [_score(0, task, STEPS, *scored, values)])
    for (model, method), stages in sequential.items():
        order = sorted(stages, key=lambda stage: (EXP3_TASKS.index(stage[0]), stage[1]))
        scores = [_score(i, *stage, "probe", PROBE, stages[stage]) for i, stage in enumerate(order)]
        yield _record("exp3", model, method, EXP3_TASKS, scores)


def ablation(table: str, experiment: str, model: str, options: dict[str, Any]) -> Iterator[RunRecord]:
    """Yield the runs behind a line of Table 4 (``options`` say which), whose numbers are by metric."""
    values: dict[str, dict[str, float]] = {}
    for place, value in SECURA.values.items():
        if place.table == table and place.model == model and place.variant == f"{experiment} {options['merge']}":
            values.setdefault(place.task, {})[place.metric] = value
    for task, found in values.items():
        scored = ("task", task) if experiment == "exp1" else ("probe", PROBE)
        yield _record(experiment, model, "secura", (task,), [_score(0, task, STEPS, *scored, found)], options)


def write(folder: Path) -> int:
    """Write every record to its run's folder and return how many there are."""
    made = list(records())
    for record in made:
        write_atomically(folder / record.experiment / record.name / "record.json", record.model_dump_json(indent=1))
    return len(made)


def _score(stage: int, task: str, step: int, role: str, scored: str, values: dict[str, float]) -> dict[str, Any]:
    return {
        "stage": stage, "after": task, "step": step, "finished": step == STEPS, "role": role, "protocol": PROTOCOL,
        "task": scored, "n": PROBE_ROWS if role == "probe" else 100, "values": values,
    }  # fmt: skip


def _record(
    experiment: str,
    model: str,
    method: str,
    tasks: tuple[str, ...],
    scores: list[dict[str, Any]],
    options: dict[str, Any] | None = None,
) -> RunRecord:
    note = {
        "source": SOURCE, "revision": None, "licence": "", "stand_in": None, "train_rows": 900, "test_rows": 100,
        "train_hash": "", "test_hash": "", "too_long": 0,
    }  # fmt: skip
    what = tasks[0] if len(tasks) == 1 else f"{len(tasks)}-tasks"
    train = first(training_of(SECURA, method, experiment))
    fields: dict[str, Any] = {
        "version": __version__, "name": f"{model}-{method}-{what}", "fingerprint": "published",
        "experiment": experiment, "mode": "sequence" if experiment == "exp3" else "separate", "status": "done",
        "notes": (f"the numbers are those printed in {SOURCE}, of no run of this bench",),
        "model": {"label": model, "identity": SOURCE},
        "method": {
            "name": method, "label": method, "train": train,
            "options": first(options_of(SECURA, method)) | (options or {}),
        },
        "tasks": tasks, "probe": PROBE, "probe_parts": probe_parts(PROBE), "seed": SEED, "limit": None,
        "precision": train["precision"], "context": first(data_of(SECURA, experiment))["context"],
        "parameters": {}, "data": dict.fromkeys((*tasks, *probe_parts(PROBE)), note), "signatures": {},
        "scores": scores,
        "cost": {"train_seconds": 0, "evaluate_seconds": 0, "tokens": 0, "peak_memory": 0, "device": "none"},
        "finished_at": "2025-02-25T00:00:00+00:00",
    }  # fmt: skip
    return RunRecord.model_validate(fields)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"{write(Path(sys.argv[1]))} records in {sys.argv[1]}")
