"""Records whose numbers can be worked out in the head, what is drawn of them, and items filed behind them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from secura_bench.report.make import make_report
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import Table
from secura_bench.results.folder import items_file
from secura_bench.results.record import RunRecord


def score(stage: int, after: str | None, role: str, task: str, value: float, finished: bool = True) -> dict[str, Any]:
    values = {"char_bleu": value, "rouge1": value / 2, "rougeL": value / 4, "accuracy": value / 10}
    return {
        "stage": stage, "after": after, "step": 5, "finished": finished, "role": role,
        "protocol": "teacher_forced", "task": task, "n": 30, "values": values,
    }  # fmt: skip


def note(stand_in: str | None = None, too_long: int = 0) -> dict[str, Any]:
    return {
        "source": "local", "revision": None, "licence": "MIT", "stand_in": stand_in, "train_rows": 9, "test_rows": 30,
        "train_hash": "a", "test_hash": "b", "too_long": too_long, "probe_rows": 30, "probe_hash": "c",
    }  # fmt: skip


def record(
    label: str, tasks: list[str], scores: list[dict], seed: int = 1, mode: str = "sequence", **changes
) -> RunRecord:
    fields: dict[str, Any] = {
        "version": "0.1.0", "name": f"{label}-{seed}", "fingerprint": "f", "experiment": "exp", "mode": mode,
        "status": "done", "model": {"label": "m", "identity": "i"},
        "method": {"name": "base" if label == "base" else "x", "label": label, "options": {}, "train": {}},
        "tasks": tasks, "probe": "p", "probe_parts": ["q"], "seed": seed, "limit": None,
        "parameters": {"trainable": 1, "total": 2, "held": 0}, "data": {"q": note(), "t": note(), "u": note()},
        "signatures": {"teacher_forced": {"char_bleu": "sig"}}, "scores": scores,
        "cost": {"train_seconds": 1, "evaluate_seconds": 1, "tokens": 1, "peak_memory": 1, "device": "cpu"},
        "finished_at": f"2026-01-0{seed}T00:00:00",
    }  # fmt: skip
    return RunRecord.model_validate(fields | changes)


BASE = record(
    "base",
    ["t", "u"],
    [score(0, None, "probe", "p", 80), score(0, None, "task", "t", 10), score(0, None, "task", "u", 20)],
)


def run(seed: int, shift: float = 0.0, **changes) -> RunRecord:
    scores = [
        score(0, None, "probe", "p", 76),
        score(1, "t", "probe", "p", 70), score(1, "t", "task", "t", 90 + shift),
        score(2, "u", "probe", "p", 55, finished=False),
        score(3, "u", "probe", "p", 40 + shift), score(3, "u", "task", "t", 50), score(3, "u", "task", "u", 70),
    ]  # fmt: skip
    return record("mine", ["t", "u"], scores, seed, **changes)


MAIN = ("teacher_forced", "char_bleu")


def study_of(records: list[RunRecord]) -> Study:
    (study,) = make_studies([Run(one) for one in records])
    return study


def arm_of(study: Study, method: str = "mine") -> Arm:
    arm = study.arm(method, study.sequences[0])
    assert arm is not None
    return arm


def table_of(records: list[RunRecord], name: str) -> Table:
    (table,) = make_report([Run(one) for one in records], [name]).tables
    return table


def column(table: Table, group: str, heading: str) -> dict[str, float]:
    """Return a column's numbers by method."""
    (i,) = [i for i, c in enumerate(table.columns) if (c.group, c.heading) == (group, heading)]
    return {row.of["method"]: row.entries[i].cell.value for row in table.rows}


def filed(folder: Path, one: RunRecord, items: dict[str, list[float]]) -> Run:
    """Write a record with ``items`` (by the protocol's task) behind its last scores, and return its run."""
    scores = []
    for found in one.scores:
        part = "q" if found.role == "probe" else found.task
        if part in items:
            target = folder / one.name / items_file(found, part)
            target.parent.mkdir(parents=True, exist_ok=True)
            columns = {"char_bleu": items[part], "accuracy": [100.0 * (value > 50) for value in items[part]]}
            ids = [f"{part}-{i}" for i in range(len(items[part]))]
            target.write_text(json.dumps({"id": ids, **columns}))
            means = {name: float(np.mean(values)) for name, values in columns.items()}
            found = found.model_copy(update={"values": {**found.values, **means}, "n": len(ids)})
        scores.append(found)
    one = one.model_copy(update={"scores": tuple(scores)})
    (folder / one.name).mkdir(parents=True, exist_ok=True)
    (folder / one.name / "record.json").write_text(one.model_dump_json())
    return Run(one, folder / one.name)


def three_methods(folder: Path, seeds: tuple[int, ...] = (1,)) -> Path:
    """Return a results folder: a base and three methods, of which two keep nearly the same."""
    rng = np.random.default_rng(4)
    known = np.clip(60 + 20 * rng.standard_normal(200), 0, 100)
    methods = [(label, kept, seed) for label, kept in (("good", 0.9), ("same", 0.899), ("bad", 0.5)) for seed in seeds]
    for label, kept, seed in [("base", 1.0, 1), *methods]:
        scores = [score(0, "t", "task", "t", 50), score(0, "t", "probe", "p", 50)]
        if label == "base":
            scores = [{**one, "after": None} for one in scores]
        name = label if seed == 1 else f"{label}-{seed}"
        one = record(label, ["t"], scores, seed, mode="separate", name=name)
        noise = 4 * rng.standard_normal(200) if label != "base" else 0
        filed(folder / "r" / "exp", one, {"q": list(kept * known + noise), "t": list(known)})
    return folder / "r"
