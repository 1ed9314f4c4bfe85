"""Everything on the page but the items' texts, as plain values for its script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from secura_bench.foundation.version import __version__
from secura_bench.report.page.curves import curves
from secura_bench.report.page.sentence import Sentence
from secura_bench.report.page.texts import Texts
from secura_bench.report.page.words import averaged, caveats, summary
from secura_bench.report.plots.style import COLOURS
from secura_bench.report.statistics import ENOUGH
from secura_bench.report.study.axis import moment_name, probe_along_axis
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.forgetting import every_forgetting
from secura_bench.report.study.placing import Placing, front, placings
from secura_bench.report.study.protocols import PROTOCOLS, Metric, Protocol
from secura_bench.report.study.protocols import metric as known
from secura_bench.report.study.speaking import speaking
from secura_bench.report.study.study import Study
from secura_bench.report.tables.note import Note
from secura_bench.report.tables.table import Number, Table
from secura_bench.results.record import MIXED


def make_payload(
    studies: Sequence[Study], texts: Sequence[Texts], problems: Sequence[str], tables: Sequence[Table]
) -> dict[str, Any]:
    """Return the page's data; ``texts`` names what each of the page's blobs holds."""
    names = list(dict.fromkeys(study.experiment for study in studies))
    return {
        "title": " · ".join(names) or "no records",
        "version": __version__,
        "mixed": MIXED,
        "colours": len(COLOURS),
        "enough": ENOUGH,
        "newest": max((run.record.finished_at for study in studies for run in study.runs), default=""),
        "problems": list(problems),
        "studies": [_study(study) for study in studies],
        "tables": [table_values(table) for table in tables],
        "texts": [text.about for text in texts],
    }


def cell(value: Cell) -> dict[str, Any]:
    """Return a cell as value, low, high (null for none), n, seeds, and why something is missing."""
    return {
        "v": _number(value.value),
        "l": _number(value.low),
        "h": _number(value.high),
        "n": value.n,
        "s": list(value.seeds),
        "w": value.why,
        "o": value.items_only,
    }


def table_values(table: Table) -> dict[str, Any]:
    """Return a table as its headings, rows and notes."""
    return {
        "id": table.id,
        "title": table.title,
        "of": dict(table.of),
        "columns": [
            {
                "heading": c.heading,
                "group": c.group,
                "number": c.kind == "number",
                "digits": c.digits,
                "interval": c.interval,
            }
            for c in table.columns
        ],
        "rows": [
            {
                "entries": [_entry(entry) for entry in row.entries],
                "section": row.section,
                "strong": row.strong,
                "method": row.of.get("method", ""),
            }
            for row in table.rows
        ],
        "notes": [{"text": note, "marks": list(note.marks) if isinstance(note, Note) else []} for note in table.notes],
    }


def _entry(entry: str | Number) -> str | dict[str, Any]:
    if isinstance(entry, str):
        return entry
    found: dict[str, Any] = {**cell(entry.cell), "best": entry.best}
    if entry.verdict:
        found |= {
            "published": entry.published,
            "difference": entry.difference,
            "verdict": entry.verdict,
            "reason": entry.reason,
        }
        found["flaws"] = list(entry.flaws)
    return found


def _study(study: Study) -> dict[str, Any]:
    protocols = [_protocol(study, PROTOCOLS[name]) for name in study.protocols if name in PROTOCOLS]
    protocols.sort(key=lambda each: all(placing["learned"]["v"] is None for placing in each["placings"]))
    return {
        **study.names,
        "title": study.title,
        "apart": study.apart,
        "averaged": averaged(study),
        "methods": list(study.methods),
        "tasks": list(dict.fromkeys(task for sequence in study.sequences for task in sequence)),
        "protocols": protocols,  # first those by which it is known who learned: the page opens with the first
        "forgetting": [{"method": method, **vars(found)} for method, found in every_forgetting(study)],
        "caveats": [_sentence(each) for each in caveats(study)],
    }


def _protocol(study: Study, protocol: Protocol) -> dict[str, Any]:
    metric, _ = speaking(study, protocol)
    found = placings(study, protocol.id, metric)
    placed = [(i, each) for i, each in enumerate(found) if each.placed]
    best = front([(each.learned.value, each.retention.value) for _, each in placed])
    signatures = {
        known(name).heading: signature
        for run in study.runs
        for name, signature in run.record.signatures.get(protocol.id, {}).items()
    }
    return {
        "id": protocol.id,
        "heading": protocol.heading,
        "meaning": protocol.meaning,
        "metric": metric.heading,
        "percent": metric.percent,
        "signatures": [f"{name}: {signature}" for name, signature in signatures.items()],
        "summary": [_sentence(each) for each in summary(study, protocol, found)],
        "placings": [_placing(study, each) for each in found],
        "front": [placed[i][0] for i in best],
        "curves": curves(study, protocol),
        "sequences": [_sequence(study, protocol, metric, tasks) for tasks in study.sequences] if study.arms else [],
        "grid": _grid(study, protocol, metric) if study.mode == "separate" else None,
    }


def _placing(study: Study, each: Placing) -> dict[str, Any]:
    return {
        "method": each.method,
        "part": averaged(study, each),
        "learned": cell(each.learned),
        "before": cell(each.before),
        "gain": cell(each.gain),
        "kept": cell(each.retention),
        "didLearn": each.did_learn,
        "didForget": each.did_forget,
    }


def _sequence(study: Study, protocol: Protocol, metric: Metric, tasks: tuple[str, ...]) -> dict[str, Any]:
    arms = [arm for arm in study.arms if arm.sequence == tasks]
    curves, matrices = [], []
    for arm in arms:
        percent = metric.percent
        curve = probe_along_axis(study, arm, protocol.id, metric.id, retention=percent)
        points = [
            {"x": round(place, 4), "name": moment_name(moment), "ended": moment.finished, **_short(value)}
            for place, moment, value in curve
            if not value.missing
        ]
        curves.append({"method": arm.method, "once": len(arm.runs) == 1, "points": points})
        if study.mode == "sequence":
            matrix = study.matrix(arm, protocol.id, metric.id)
            rows = [[_short(value) for value in row] for row in matrix.cells]
            matrices.append({"method": arm.method, "after": list(matrix.after), "rows": rows})
    return {"tasks": list(tasks), "curves": curves, "matrices": matrices}


def _grid(study: Study, protocol: Protocol, metric: Metric) -> dict[str, Any]:
    """Return what each method learned and kept, by the task that it was trained on alone."""
    rows = []
    for method in study.methods:
        arms = {arm.sequence: arm for arm in study.arms if arm.method == method}
        found = [arms.get(tasks) for tasks in study.sequences]
        rows.append(
            {
                "method": method,
                "learned": [_short(study.learned(arm, protocol.id, metric.id)) for arm in found],
                "kept": [_short(study.retention(arm, protocol.id, metric.id)) for arm in found],
            }
        )
    return {"tasks": [", ".join(tasks) for tasks in study.sequences], "rows": rows}


def _short(value: Cell) -> dict[str, Any]:
    return {"v": _number(value.value), "l": _number(value.low), "h": _number(value.high)}


def _sentence(sentence: Sentence) -> dict[str, str]:
    return {"kind": sentence.kind, "text": sentence.text}


def _number(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
