"""The table of what was learned and what was kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from secura_bench.report.study.arms import Arm, sequence_name
from secura_bench.report.study.cells import Cell, ScoreKey, mean_cell
from secura_bench.report.study.protocols import Protocol, metric
from secura_bench.report.study.ranking import rank
from secura_bench.report.study.speaking import speaking, told_by
from secura_bench.report.study.study import Study
from secura_bench.report.study.unread import WITHOUT_READING, Share, least
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import LABEL, SEPARATE, arms_on, place_of, title_of, with_numbers
from secura_bench.report.tables.note import Note
from secura_bench.report.tables.table import Column, Number, Row, Table


def retention(study: Study, protocol: Protocol) -> Iterator[Table]:
    """Yield what was learned beside what was kept: a row a method, a section a task sequence."""
    columns = _retention_columns(study, protocol)
    rows: list[Row] = []
    for sequence in study.sequences:
        arms = arms_on(study, sequence)
        if not _scored(study, protocol, arms):
            continue
        ranked = [arm for arm in arms if arm.name != "mtl"]
        learned = rank(study, ranked, protocol.id, protocol.main.id, "learned")
        probe = rank(study, ranked, protocol.id, speaking(study, protocol)[0].id, "probe")
        section = sequence_name(sequence)
        rows += _constant_rows(study, protocol, sequence, columns)
        for arm in ([study.base] if study.base else []) + arms:
            label = f"{arm.method} ({arm.diverged} of {len(arm.runs)} diverged)" if arm.diverged else arm.method
            numbers = _retention_numbers(study, protocol, columns, [arm], sequence)
            tied = {"learned": learned.tied(arm.method), "kept": probe.tied(arm.method)}
            rows.append(_row(columns, section, label, numbers, arm, tied, protocol))
    if not rows:
        return
    rows += _mean_rows(study, protocol, columns)
    every = columns
    asked = footnotes.untold((run.record for run in study.runs), protocol.id)
    columns, rows = with_numbers(every, rows, [(c.of.get("role"), c.of.get("metric")) in asked for c in every])
    untold = dict.fromkeys(c.group for c in every if c not in columns and c.group != "start")
    lacking = [f"By this protocol there is no score of: {', '.join(untold)}."] if untold else []
    notes = footnotes.notes([study], protocol.id, protocol.metrics)
    yield Table(
        "retention",
        title_of(study, protocol),
        tuple(columns),
        tuple(rows),
        (_reading(study, protocol, columns), *lacking, *told_by(study, protocol), *footnotes.marks(), *notes),
        place_of(study, protocol),
    )


def _retention_columns(study: Study, protocol: Protocol) -> list[Column]:
    main = protocol.main.id
    columns = [Column("trained on", "label"), LABEL]
    for i, name in enumerate(protocol.learned):
        of = {"role": "task", "at": "learned", "metric": name}
        columns.append(
            Column(
                metric(name).heading,
                of=of,
                group="learned",
                digits=1,
                spare=5 if i else 0,
                interval="room" if i else "ends",
            )
        )
    if study.mode == "sequence":
        of = {"role": "task", "at": "end", "metric": main}
        columns.append(Column(metric(main).heading, of=of, group="final", digits=1, spare=8, interval="room"))
    of = {"role": "probe", "at": "start", "metric": main}
    columns.append(Column(metric(main).heading, of=of, group="start", digits=1, spare=4))
    for i, name in enumerate(protocol.metrics):
        of = {"role": "probe", "at": "end", "metric": name}
        columns.append(
            Column(
                metric(name).heading,
                of=of,
                group="probe",
                digits=1,
                spare=1 if i > 1 else 6 if i else 9,
                interval="room" if i else "half" if protocol.main.percent else "ends",
            )
        )
    of = {"role": "probe", "at": "end", "metric": f"{speaking(study, protocol)[0].id}:retention"}
    columns.append(Column("%", of=of, group="kept", digits=1, interval="ends"))
    return [*columns, Column("n", "label", spare=3), Column("seeds", "label", spare=2)]


def _retention_numbers(
    study: Study, protocol: Protocol, columns: Sequence[Column], arms: Sequence[Arm], sequence: tuple[str, ...]
) -> list[Cell]:
    """Return the numbers of a row: of one arm, or the mean over several sequences' arms."""
    cells = []
    for column in (column for column in columns if column.kind == "number"):
        name, role, at = column.of["metric"], column.of["role"], column.of["at"]
        if name.endswith(":retention"):
            cells.append(study.mean_retention(arms, protocol.id, name.split(":")[0]))
        elif at == "start" and all(arm.is_base for arm in arms):
            cells.append(Cell(spread="the base has no start of its own"))
        elif role == "probe":
            cells.append(mean_cell([ScoreKey(a, protocol.id, name, "probe", study.probe_name, at) for a in arms]))  # type: ignore[arg-type]
        else:
            keys = [
                ScoreKey(arm, protocol.id, name, "task", task, at)  # type: ignore[arg-type]
                for arm in arms
                for task in (sequence if arm.is_base else arm.sequence)
            ]
            cells.append(mean_cell(keys))
    return cells


def _row(
    columns: Sequence[Column],
    section: str,
    label: str,
    numbers: Sequence[Cell],
    arm: Arm,
    tied: dict[str, bool],
    protocol: Protocol,
) -> Row:
    entries: list[str | Number] = [section, label]
    shown = [column for column in columns if column.kind == "number"]
    for column, cell in zip(shown, numbers, strict=True):
        speaks = column.group == "kept" or column.of["metric"] == protocol.main.id
        entries.append(Number(cell, best=speaks and tied.get(column.group, False)))
    n = next((c.n for column, c in zip(shown, numbers, strict=True) if column.group == "probe" and c.n), "–")
    seeds = ", ".join(map(str, arm.seeds)) or "–"
    of = {"method": arm.method, "sequence": section}
    return Row((*entries, str(n), seeds), of, section, arm.name in ("base", "mtl"))


def _mean_rows(study: Study, protocol: Protocol, columns: Sequence[Column]) -> list[Row]:
    """Return a mean row over the tasks of a separate experiment for each method that has them all."""
    single = [sequence for sequence in study.sequences if len(sequence) == 1]
    if len(single) < 2:
        return []
    section = f"{SEPARATE} {len(single)}"
    rows = []
    for method in ("base", *study.methods):
        arms = [study.base] * len(single) if method == "base" else [study.arm(method, s) for s in single]
        there = [arm for arm in arms if arm is not None]
        if len(there) == len(single):
            tasks = tuple(task for sequence in single for task in sequence)
            over = [study.base] if method == "base" and study.base else there
            numbers = _retention_numbers(study, protocol, columns, over, tasks)
            rows.append(_row(columns, section, method, numbers, there[0], {}, protocol))
    return rows


def _constant_rows(
    study: Study, protocol: Protocol, sequence: tuple[str, ...], columns: Sequence[Column]
) -> Iterator[Row]:
    """Yield what answering without reading scores: the best constant answer, and a choice drawn at random."""
    notes = study.data
    for label, unread in WITHOUT_READING.items():
        learned = [replace(unread.of_task(notes.get(task), protocol.id), rows=1) for task in sequence]
        probe = [unread.of_part(notes[part], protocol.id) for part in study.parts_of(protocol.id) if part in notes]
        cells = {"learned": _mean(learned), "probe": _mean(probe)}
        entries: list[str | Number] = [sequence_name(sequence), label]
        for column in columns[2:]:
            shown = column.of.get("metric") == "accuracy" and column.group in cells
            entries.append("" if column.kind == "label" else Number(cells[column.group] if shown else Cell()))
        if any(isinstance(entry, Number) and not entry.cell.missing for entry in entries):
            yield Row(
                tuple(entries), {"method": label, "sequence": sequence_name(sequence)}, sequence_name(sequence), True
            )


def _mean(shares: Sequence[Share]) -> Cell:
    if not shares or any(share.value is None for share in shares):
        return Cell()
    return Cell(least(shares))


def _scored(study: Study, protocol: Protocol, arms: Sequence[Arm]) -> bool:
    """Return whether a run of ``arms``, or the base where there is none, was scored by the protocol at all."""
    runs = [run for arm in arms for run in arm.runs] or list(study.runs)
    return any(score.protocol == protocol.id for run in runs for score in run.record.scores)


def _reading(study: Study, protocol: Protocol, columns: Sequence[Column]) -> Note:
    sequence = study.mode == "sequence"
    when = "right after each task was trained, mean over tasks" if sequence else "after training on it"
    last = "; final: the same tasks at the end of the sequence" if sequence else ""
    speaks, _ = speaking(study, protocol)
    mine, base = f"probe {speaks.heading}", f"base's probe {speaks.heading}"
    lower = "" if protocol.main.percent else "the base's in % of it, for lower is better"
    ratio = f"{mine} / {base}" if protocol.main.percent else f"{base} / {mine}, for lower is better"
    kept = f" Kept = 100 · {ratio}; a method that learns nothing keeps everything."
    learned = f"Learned: test rows of the trained task, {when}{last}. " if protocol.learned else ""
    briefly = f"Learned: right after training on a task{'; final: at the end' * sequence}. " if protocol.learned else ""
    start = "Start: the probe before the first step. " * any(column.group == "start" for column in columns)
    return Note(
        f"{learned}Probe: at the end of the run; start: the probe before "
        f"the first step, where the method does not start as the base; n: the probe's rows.{kept}",
        f"{briefly}{start}Kept: the probe at the end, {lower or 'in % of the base'}; what learns nothing keeps "
        "everything.",
    )
