"""Records of the paper's printed numbers at its settings, one thing of them changed, and their tables."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from conftest import ROOT

from secura_bench.publications.publication import publication
from secura_bench.report.against.tables import published_tables
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run
from secura_bench.report.tables.table import Number, Table
from secura_bench.results.record import RunRecord

SECURA = publication("secura")
EXP3_TASKS = SECURA.file.experiments["exp3"].sequence
PEFT = ("lora", "dora", "cur_lora", "i_lora", "secura")
CONTINUAL = ("seq", "ewc", "er", "i_lora", "secura")
"""The methods of EXP1 and EXP2, and of EXP3."""
MODEL = "qwen2-7b"
TABLE = {"exp1": "8", "exp2": "10", "exp3": "11"}
"""A table of each experiment."""


def script() -> ModuleType:
    """Return ``scripts/published_records.py``."""
    spec = importlib.util.spec_from_file_location("published_records", ROOT / "scripts" / "published_records.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def published() -> tuple[RunRecord, ...]:
    """Return a record for every printed number."""
    return tuple(script().records())


def record_of(experiment: str, method: str, task: str = "absnarr", model: str = MODEL) -> RunRecord:
    """Return a method's record on a task, or in EXP3 on the sequence."""
    tasks = EXP3_TASKS if experiment == "exp3" else (task,)
    return next(
        r
        for r in published()
        if (r.experiment, r.method["name"], r.model["label"], r.tasks) == (experiment, method, model, tasks)
    )


def changed(record: RunRecord, part: str, **values: Any) -> RunRecord:
    """Return a record with other ``options`` or ``train``."""
    method = {**record.method, part: {**record.method[part], **values}}
    return record.model_copy(update={"method": method, "fingerprint": f"{part}-{'-'.join(values)}"})


def other(record: RunRecord, **changes: Any) -> RunRecord:
    """Return a record of which some fields are others; its fingerprint is another one then."""
    return record.model_copy(update={"fingerprint": "-".join(changes), **changes})


def renamed(record: RunRecord, **method: Any) -> RunRecord:
    """Return a record of another method or label."""
    return other(record, method={**record.method, **method}, name=f"{record.name}-{method['label']}")


def table_of(records: list[RunRecord], table: str, folder: Path | None = None) -> Table:
    """Return one of the paper's tables, beside the paper."""
    runs = [Run(record, folder) for record in records]
    (found,) = (t for t in published_tables(SECURA, make_studies(runs), [table], against=True) if t.id == table)
    return found


def compared_in(table: Table) -> list[Number]:
    """Return the numbers that stand beside a published one."""
    return [entry for entry in numbers(table) if entry.published is not None and not entry.cell.missing]


def numbers(table: Table) -> list[Number]:
    """Return every number of a table."""
    return [entry for row in table.rows for entry in row.entries if isinstance(entry, Number)]


def by_label(table: Table) -> dict[str, Number]:
    """Return each row's first number by the row's method."""
    return {row.of["method"]: row.entries[2] for row in table.rows}
