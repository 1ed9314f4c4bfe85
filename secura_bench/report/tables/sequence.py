"""The tables along a sequence of tasks: the accuracy matrix, continual metrics."""

from __future__ import annotations

from collections.abc import Iterator

from secura_bench.report.study.cells import Cell
from secura_bench.report.study.protocols import Protocol
from secura_bench.report.study.speaking import speaking, told_by
from secura_bench.report.study.study import Study
from secura_bench.report.study.unread import WITHOUT_READING
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import LABEL, arms_on, metric_name, place_of, title_of, value_of
from secura_bench.report.tables.note import Note, unsaid
from secura_bench.report.tables.table import Column, Number, Row, Table
from secura_bench.results.record import MIXED


def matrix(study: Study, protocol: Protocol) -> Iterator[Table]:
    """Yield the accuracy matrix of every sequence: after each task, the score on each."""
    for sequence in study.sequences:
        if study.mode != "sequence" or len(sequence) < 2:
            continue
        columns = [LABEL, Column("after", "label")]
        columns += [
            Column(t, of={"role": "task", "task": t, "metric": protocol.main.id}, digits=1, interval="half")
            for t in sequence
        ]
        rows: list[Row] = []
        for arm in arms_on(study, sequence):
            found = study.matrix(arm, protocol.id, protocol.main.id)
            for after, cells in zip(found.after, found.cells, strict=True):
                if after is None and rows:
                    continue  # the base's row stands once
                name, moment = (arm.method, _after(after)) if after else ("base", "–")
                numbers = tuple(Number(cell) for cell in cells)
                section = arm.method if after else ""
                rows.append(Row((name, moment, *numbers), {"method": name, "after": moment}, section, not after))
        if any(_told(row) for row in rows):
            rows[:0] = _without_reading(study, protocol, sequence)
            title = f"{title_of(study, protocol)} · {metric_name(protocol)} of each task along the sequence"
            how = Note(
                "A row: after training on that task. A column: the score on that task's test rows.",
                "A row: after training on that task. A column: that task's test rows.",
            )
            notes = (how, *footnotes.marks(), *footnotes.notes([study], protocol.id, (protocol.main.id,)))
            yield Table("matrix", title, tuple(columns), tuple(rows), notes, place_of(study, protocol))


_CONTINUAL = {
    "average_accuracy": "ACC",
    "learning_accuracy": "LA",
    "backward_transfer": "BWT",
    "forward_transfer": "FWT",
    "forgetting": "F",
}
_SPARE = {"forward_transfer": 1, "backward_transfer": 2}


def continual(study: Study, protocol: Protocol) -> Iterator[Table]:
    """Yield the continual metrics of every sequence, retention beside them."""
    for sequence in study.sequences:
        if study.mode != "sequence" or len(sequence) < 2:
            continue
        main = protocol.main.id
        columns = [LABEL]
        columns += [
            Column(short, of={"metric": f"{main}:{name}"}, digits=1, interval="ends", spare=_SPARE.get(name, 0))
            for name, short in _CONTINUAL.items()
        ]
        speaks, _ = speaking(study, protocol)
        kept = {"metric": f"{speaks.id}:retention", "role": "probe"}
        columns += [Column("kept %", of=kept, digits=1, interval="ends")]
        rows = []
        missing = set(_CONTINUAL)
        for arm in arms_on(study, sequence):
            found = study.continual(arm, protocol.id, main)
            if any(moment.after == MIXED for moment in arm.moments):
                found["average_accuracy"] = study.final(arm, protocol.id, main)
            missing -= {name for name in _CONTINUAL if not found[name].missing}
            cells = (*(found[name] for name in _CONTINUAL), study.retention(arm, protocol.id, speaks.id))
            rows.append(Row((arm.method, *map(Number, cells)), {"method": arm.method}, "", arm.name == "mtl"))
        if len(missing) < len(_CONTINUAL):
            title = f"{title_of(study, protocol)} · continual metrics of {metric_name(protocol)}"
            lacking = "No FWT: no task was scored before its training; `evaluate: {tasks: all}` in a spec does that."
            forward = (unsaid(lacking),)
            gap = forward if "forward_transfer" in missing else ()
            notes = (
                footnotes.CONTINUAL,
                *gap,
                *told_by(study, protocol),
                *footnotes.marks(),
                *footnotes.notes([study], protocol.id, (main,)),
            )
            yield Table("continual", title, tuple(columns), tuple(rows), notes, place_of(study, protocol))


def _without_reading(study: Study, protocol: Protocol, sequence: tuple[str, ...]) -> Iterator[Row]:
    """Yield what answering without reading scores on each task, by accuracy."""
    if protocol.main.id != "accuracy":
        return
    for label, unread in WITHOUT_READING.items():
        known = [unread.of_task(study.data.get(task), protocol.id).value for task in sequence]
        if any(value is not None for value in known):
            numbers = tuple(Number(Cell() if value is None else Cell(value)) for value in known)
            yield Row((label, "–", *numbers), {"method": label, "after": "–"}, "", True)


def _told(row: Row) -> bool:
    return any(value_of(row, i) for i in range(len(row.entries)))


def _after(after: str) -> str:
    return "all at once" if after == MIXED else after
