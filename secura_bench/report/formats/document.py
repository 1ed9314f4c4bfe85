"""A report as JSON, by the schema in ``report.schema.json`` beside this file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secura_bench.foundation.version import __version__
from secura_bench.report.formats.text import notes_under
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import Number, Row, Table

SCHEMA_VERSION = 1
SCHEMA = Path(__file__).parent / "report.schema.json"


def document(tables: Sequence[Table], studies: Sequence[Study], problems: Sequence[str]) -> str:
    """Return the tables as JSON in ASCII: whatever a name holds is escaped."""
    whole = {
        "format": "secura-bench report",
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "studies": [_study(study) for study in studies],
        "tables": [_table(table) for table in tables],
        "skipped": list(problems),
    }
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _study(study: Study) -> dict[str, Any]:
    return {
        **study.names,
        "limit": study.limit,
        "base": study.base is not None,
        "runs": [
            {
                "name": run.record.name,
                "fingerprint": run.record.fingerprint,
                "method": arm.method,
                "tasks": list(arm.sequence),
                "seed": run.record.seed,
                "status": run.record.status,
            }
            for arm in study.arms
            for run in arm.runs
        ],
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "id": table.id,
        "title": table.title,
        "of": dict(table.of),
        "columns": [
            {"heading": column.heading, "group": column.group, "kind": column.kind, "of": dict(column.of)}
            for column in table.columns
        ],
        "rows": [_row(row) for row in table.rows],
        "notes": notes_under(table),
    }


def _row(row: Row) -> dict[str, Any]:
    entries = [entry if isinstance(entry, str) else _number(entry) for entry in row.entries]
    return {"of": dict(row.of), "section": row.section, "reference": row.strong, "entries": entries}


def _number(number: Number) -> dict[str, Any]:
    cell = number.cell
    found: dict[str, Any] = {
        "value": finite(cell.value),
        "low": finite(cell.low),
        "high": finite(cell.high),
        "n": cell.n,
        "seeds": list(cell.seeds),
        "per_seed": [finite(value) for value in cell.per_seed],
        "why": cell.why,
        "items_only": cell.items_only,
        "best": number.best,
    }
    if number.verdict:
        found |= {"published": number.published, "difference": finite(number.difference), "verdict": number.verdict}
        found |= {"reason": number.reason, "flaws": list(number.flaws)}
    return found


def finite(value: float | None) -> float | None:
    """Return a number, None for one that JSON has not."""
    return None if value is None or not math.isfinite(value) else value
