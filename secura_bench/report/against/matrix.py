"""Accuracy matrices beside printed ones: a row a method and the task trained last, a column a task that is scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from secura_bench.publications.place import Place
from secura_bench.report.against.common import comparable, number_of, told
from secura_bench.report.against.rows import PaperRow, lines_of
from secura_bench.report.against.shapes import Shape
from secura_bench.report.against.sources import Left, Source, is_anothers, on_sequence, unscored, without
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.protocols import metric as known
from secura_bench.report.study.runs import Moment, WhenScored
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import Column, Number, Row, Table

BASE = "base"
"""What printed matrices have for the task trained last, before the first."""


def matrices(shape: Shape, source: Source, against: bool) -> Iterator[Table]:
    """Yield a matrix a model; one that is not the publication's stands beside its first."""
    for model in sorted(source.studies, key=lambda name: (name not in shape.models, name)):
        sequence = _nearest(source.studies[model].sequences, source.part.tasks)
        if is_anothers(shape, sequence):
            continue
        table = _matrix(shape, on_sequence(source, model, sequence), model, sequence, against)
        entries = (entry for row in table.rows for entry in row.entries)
        if any(isinstance(entry, Number) and not entry.cell.missing for entry in entries):
            yield table


def _nearest(sequences: Sequence[tuple[str, ...]], wanted: tuple[str, ...]) -> tuple[str, ...]:
    return max(sequences, key=lambda s: (s == wanted, len(set(s) & set(wanted)), len(s)))


def _matrix(shape: Shape, source: Source, model: str, sequence: tuple[str, ...], against: bool) -> Table:
    wanted, part = source.part.tasks, source.part
    study = source.studies[model]
    beside = model if model in shape.models else shape.models[0]
    others = [] if sequence == wanted else [f"another sequence ({', '.join(sequence)})"]
    pairs = _pairs(shape, beside, sequence, part.metrics)
    heads = [Column("method", "label"), Column("after", "label")]
    columns = [Column(known(m).heading, of={"task": t, "metric": m, "role": part.role(m)}, group=t) for t, m in pairs]
    lines, aside = lines_of(shape, [source], [model])
    rows: list[Row] = []
    odd: list[Left] = []
    for line in lines:
        arm = line.arm(study, sequence)
        if arm is None:
            continue
        arm, left = comparable(study, arm, part, line)
        odd.append(left)
        ends = [moment for moment in arm.moments if moment.finished and moment.after in sequence]
        times: list[WhenScored] = (
            ["end"] if arm.is_base else [*sorted(ends, key=lambda m: sequence.index(str(m.after)))]
        )
        label = f"{line.name} {shape.vary}={line.variant}" if line.variant else line.label
        for at in times:
            after = str(at.after) if isinstance(at, Moment) else BASE
            entries = []
            for task, metric in pairs:
                cell, mine = _cell(study, arm, source, task, metric, at)
                place = _place(shape, beside, line, task, metric, after)
                runs = [(study, run) for run in mine.runs]
                entries.append(number_of(cell, place, runs, part, line, against, others))
            rows.append(Row((label, after, *entries), {"method": label, "after": after}, label, arm.is_base))
    there = {line.name for line in lines if line.arm(study, sequence)}
    lacking = [name for name in shape.methods if name not in there]
    gaps = [f"Published, and not run here: {', '.join(lacking)}."] if lacking else []
    gaps += [f"Left out, for another arm stands in the row: {', '.join(aside)}."] if aside else []
    gaps += [] if beside == model else [f"Beside the numbers of {beside}."]
    rows, notes = told(shape, [source], rows, [*heads, *columns], against, gaps, odd)
    of = {"protocol": shape.publication.file.protocol, "model": model}
    return Table(shape.id, f"{shape.title} · {model}", (*heads, *columns), tuple(rows), notes, of)


def _pairs(shape: Shape, model: str, sequence: Sequence[str], metrics: Sequence[str]) -> list[tuple[str, str]]:
    """Return the columns, each a task and a metric: the published ones, then this bench's other tasks."""
    printed = dict.fromkeys(
        (place.task, place.metric)
        for place in shape.publication.numbers
        if place.table == shape.id and place.model == model
    )
    part, usual = shape.parts[0], shape.publication.file.metric_of
    own = [metric for metric in metrics if part.role(metric) == "task"]
    pairs = [pair for pair in printed if pair[0] in sequence or part.role(pair[1]) == "probe"]
    known_tasks = {task for task, _ in printed}
    return pairs + [(task, usual.get(task, own[0])) for task in sequence if task not in known_tasks and own]


def _cell(study: Study, arm: Arm, source: Source, task: str, metric: str, at: WhenScored) -> tuple[Cell, Arm]:
    """Return a score at a moment, and the runs that it is of."""
    part = source.part
    (scored, *_), protocol, role = part.scored_by(metric), part.protocol(metric), part.role(metric)
    name = study.probe_name if role == "probe" else task
    arm, _ = without(arm, partial(unscored, protocol=protocol, metrics=(scored,), role=role, task=name, at=at))
    if role == "probe":
        return study.probe(arm, protocol, scored, at), arm
    return study.task(arm, protocol, scored, task, at), arm


def _place(shape: Shape, model: str, line: PaperRow, task: str, metric: str, after: str) -> Place:
    """Return where the printed number stands; before the first task it is the untouched model's under any method."""
    place = Place(shape.id, model, task, line.name, metric, variant=line.variant, after=after)
    if after != BASE:
        return place
    same = (p for p in shape.publication.numbers if (p.table, p.model, p.task, p.metric, p.after) == _start(place))
    return next(same, place)


def _start(place: Place) -> tuple[str, str, str, str, str]:
    return place.table, place.model, place.task, place.metric, place.after
