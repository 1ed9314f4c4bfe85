"""Tables 11 and 12: a row a stage of the sequence."""

from __future__ import annotations

from dataclasses import replace

from secura_bench.report.metrics import metric as known
from secura_bench.report.paper.common import OF, number_of, told
from secura_bench.report.paper.published import QA, SEQUENTIAL, Place
from secura_bench.report.paper.rows import Source, lines_of, not_this
from secura_bench.report.paper.settings import STEPS
from secura_bench.report.paper.shapes import EXP3_TASKS, PROTOCOL, Shape
from secura_bench.report.study import At
from secura_bench.report.table import Column, Row, Table


def sequential(shape: Shape, source: Source, against: bool) -> Table:
    """Return Table 11 or 12: a row a stage of the sequence, a column a method and metric."""
    model = sequential_model(shape, source)
    study = source.studies[model]
    sequence = max(study.sequences, key=lambda s: (s == EXP3_TASKS, len(set(s) & set(EXP3_TASKS)), len(s)))
    arms = [arm for arm in study.arms if arm.sequence == sequence and arm.name != "mtl"]
    lines, _ = lines_of(shape, [_alone(source, sequence)], [model])
    lines = [line for line in lines if line.name != "mtl"]
    columns = [Column("after", "label"), Column("step", "label")]
    for line in lines:
        for metric in QA:
            of = {"role": "probe", "method": line.label, "metric": metric}
            columns.append(Column(known(metric).heading, of=of, group=line.label))
    moments = sorted(
        {moment for arm in arms for moment in arm.moments if moment.after in sequence},
        key=lambda m: (sequence.index(str(m.after)), m.step, m.finished),
    )
    several = len(moments) > len({moment.after for moment in moments})
    rows = []
    by_label = {arm.method: arm for arm in arms}
    for moment in moments:
        entries = []
        step = STEPS if moment.finished else moment.step  # a task's end is its end, however many steps it had
        for line in lines:
            arm = study.base if line.label == "base" else by_label.get(line.label)
            at: At = "end" if line.label == "base" else moment
            for metric in QA:
                place = Place(shape.id, shape.models[0], str(moment.after), line.name, metric, step)
                cell = study.probe(arm, PROTOCOL, metric, at)
                records = [(study, run.record) for run in arm.runs] if arm else []
                reasons = [] if model == shape.models[0] else [f"another model ({model})"]
                if sequence != EXP3_TASKS:
                    reasons.append(f"another sequence ({len(sequence)} tasks)")
                entries.append(number_of(cell, place, records, source.part, against, [*reasons, *not_this(line)]))
        of = {"after": str(moment.after), "step": str(moment.step)}
        section = str(moment.after) if several else ""
        rows.append(Row((str(moment.after), str(moment.step), *entries), of, section))
    rows, notes = told(shape, [replace(source, studies={model: study})], rows, columns, against, [])
    title = f"Table {shape.id} · {shape.caption} · {model}"
    return Table(shape.id, title, tuple(columns), tuple(rows), notes, OF | {"model": model})


def _alone(source: Source, sequence: tuple[str, ...]) -> Source:
    """Return a source with the arms of one sequence alone."""
    arms = {
        model: replace(study, arms=tuple(arm for arm in study.arms if arm.sequence == sequence))
        for model, study in source.studies.items()
    }
    return replace(source, studies=arms)


def sequential_model(shape: Shape, source: Source) -> str:
    """Return the model of Table 11 or 12: the paper's, or in Table 11 another in its shape; empty if there is none."""
    others = [name for name in source.studies if name not in SEQUENTIAL] if shape.id == "11" else []
    return next((name for name in (*shape.models, *others) if name in source.studies), "")
