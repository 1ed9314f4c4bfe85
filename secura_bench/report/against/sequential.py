"""Tables 11 and 12: a row a stage of the sequence."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from secura_bench.report.against.common import OF, comparable, number_of, told
from secura_bench.report.against.published import QA, SEQUENTIAL, Place
from secura_bench.report.against.rows import lines_of
from secura_bench.report.against.settings import STEPS
from secura_bench.report.against.shapes import EXP3_TASKS, PROTOCOL, Shape
from secura_bench.report.against.sources import Source, called, unscored, without
from secura_bench.report.study.protocols import metric as known
from secura_bench.report.study.runs import WhenScored
from secura_bench.report.tables.table import Column, Row, Table


def sequential(shape: Shape, source: Source, against: bool) -> Table:
    """Return Table 11 or 12: a row a stage of the sequence, a column a method and metric."""
    model = sequential_model(shape, source)
    sequence = max(
        source.studies[model].sequences, key=lambda s: (s == EXP3_TASKS, len(set(s) & set(EXP3_TASKS)), len(s))
    )
    source = _alone(source, model, sequence)
    study = source.studies[model]
    lines, _ = lines_of(shape, [source], [model])
    lines = [line for line in lines if line.name != "mtl"]
    columns = [Column("after", "label"), Column("step", "label")]
    for line in lines:
        for metric in QA:
            of = {"role": "probe", "method": line.label, "metric": metric}
            columns.append(Column(known(metric).heading, of=of, group=line.label))
    runs = (run for arm in study.arms if arm.name != "mtl" for run in arm.runs)
    moments = sorted(
        {moment for run in runs for moment in run.moments if moment.after in sequence},
        key=lambda m: (sequence.index(str(m.after)), m.step, m.finished),
    )
    several = len(moments) > len({moment.after for moment in moments})
    others = [] if model == shape.models[0] else [f"another model ({model})"]
    others += [] if sequence == EXP3_TASKS else [f"another sequence ({len(sequence)} tasks)"]
    rows, odd = [], []
    for moment in moments:
        entries = []
        step = STEPS if moment.finished else moment.step  # a task's end is its end, however many steps it had
        for line in lines:
            arm = line.arm(study, sequence)
            if arm is not None:
                arm, left = comparable(study, arm, source.part, line)
                odd.append(left)
            at: WhenScored = "end" if line.name == "base" else moment
            for metric in QA:
                why = partial(unscored, metrics=(metric,), role="probe", task=study.probe_name, at=at)
                mine, left = without(arm, why) if arm else (None, {})
                odd.append(left)
                cell = study.probe(mine, PROTOCOL, metric, at)
                place = Place(shape.id, shape.models[0], str(moment.after), line.name, metric, step)
                behind = [(study, run) for run in mine.runs] if mine else []
                entries.append(number_of(cell, place, behind, source.part, line, against, others))
        of = {"after": str(moment.after), "step": str(moment.step)}
        section = str(moment.after) if several else ""
        rows.append(Row((str(moment.after), str(moment.step), *entries), of, section))
    rows, notes = told(shape, [source], rows, columns, against, [], odd)
    title = f"Table {shape.id} · {shape.caption} · {model}"
    return Table(shape.id, title, tuple(columns), tuple(rows), notes, OF | {"model": model})


def _alone(source: Source, model: str, sequence: tuple[str, ...]) -> Source:
    """Return a source with one model's arms on one sequence alone; the others are left out."""
    study = source.studies[model]
    alone = replace(study, arms=tuple(arm for arm in study.arms if arm.sequence == sequence))
    others = [run for arm in study.arms if arm.sequence != sequence for run in arm.runs]
    left = {called(run): "another sequence of tasks" for run in others if run.record.method["name"] != "mtl"}
    return replace(source, studies={model: alone}, left={**source.left, **left})


def sequential_model(shape: Shape, source: Source) -> str:
    """Return the model of Table 11 or 12: the paper's, or in Table 11 another in its shape; empty if there is none."""
    others = [name for name in source.studies if name not in SEQUENTIAL] if shape.id == "11" else []
    return next((name for name in (*shape.models, *others) if name in source.studies), "")
