"""Tables whose rows are the stages of a sequence: the probe's score at each, a column a method and metric."""

from __future__ import annotations

from functools import partial

from secura_bench.publications.place import Place
from secura_bench.report.against.common import comparable, number_of, told
from secura_bench.report.against.rows import lines_of
from secura_bench.report.against.settings import first, training_of
from secura_bench.report.against.shapes import Shape, shapes_of
from secura_bench.report.against.sources import Source, on_sequence, unscored, without
from secura_bench.report.study.protocols import metric as known
from secura_bench.report.study.runs import WhenScored
from secura_bench.report.tables.table import Column, Row, Table


def stages(shape: Shape, source: Source, against: bool) -> Table:
    """Return a table with a row a stage of the sequence, and a column a method and metric."""
    model, part = model_of(shape, source), source.part
    wanted = part.tasks
    sequence = max(source.studies[model].sequences, key=lambda s: (s == wanted, len(set(s) & set(wanted)), len(s)))
    source = on_sequence(source, model, sequence)
    study = source.studies[model]
    lines, _ = lines_of(shape, [source], [model])
    lines = [line for line in lines if line.name != "mtl"]
    columns = [Column("after", "label"), Column("step", "label")]
    for line in lines:
        for metric in part.metrics:
            of = {"role": "probe", "method": line.label, "metric": metric}
            columns.append(Column(known(metric).heading, of=of, group=line.label))
    runs = (run for arm in study.arms if arm.name != "mtl" for run in arm.runs)
    moments = sorted(
        {moment for run in runs for moment in run.moments if moment.after in sequence},
        key=lambda m: (sequence.index(str(m.after)), m.step, m.finished),
    )
    several = len(moments) > len({moment.after for moment in moments})
    others = [] if model == shape.models[0] else [f"another model ({model})"]
    others += [] if sequence == wanted else [f"another sequence ({len(sequence)} tasks)"]
    steps = first(training_of(shape.publication, "", part.experiment))["steps"]
    rows, odd = [], []
    for moment in moments:
        entries = []
        step = steps if moment.finished else moment.step  # a task's end is its end, however many steps it had
        for line in lines:
            arm = line.arm(study, sequence)
            if arm is not None:
                arm, left = comparable(study, arm, source.part, line)
                odd.append(left)
            at: WhenScored = "end" if line.name == "base" else moment
            for metric in part.metrics:
                (scored, *_), protocol = part.scored_by(metric), part.protocol(metric)
                why = partial(
                    unscored, protocol=protocol, metrics=(scored,), role="probe", task=study.probe_name, at=at
                )
                mine, left = without(arm, why) if arm else (None, {})
                odd.append(left)
                cell = study.probe(mine, protocol, scored, at)
                place = Place(shape.id, shape.models[0], str(moment.after), line.name, metric, step)
                behind = [(study, run) for run in mine.runs] if mine else []
                entries.append(number_of(cell, place, behind, source.part, line, against, others))
        of = {"after": str(moment.after), "step": str(moment.step)}
        section = str(moment.after) if several else ""
        rows.append(Row((str(moment.after), str(moment.step), *entries), of, section))
    rows, notes = told(shape, [source], rows, columns, against, [], odd)
    of = {"protocol": part.protocols[0], "model": model}
    return Table(shape.id, f"{shape.title} · {model}", tuple(columns), tuple(rows), notes, of)


def model_of(shape: Shape, source: Source) -> str:
    """Return the model of such a table: its own, or in the first of its layout another; empty if there is none."""
    alike = [each for each in shapes_of(shape.publication).values() if each.table.layout == shape.table.layout]
    published = {model for each in alike for model in each.models}
    others = [name for name in source.studies if name not in published] if shape is alike[0] else []
    return next((name for name in (*shape.models, *others) if name in source.studies), "")
