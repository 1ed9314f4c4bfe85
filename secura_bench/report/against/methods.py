"""Tables with a row a method and a column a metric, and how the order of the methods agrees with the published one."""

from __future__ import annotations

import math
from collections.abc import Iterator

from secura_bench.publications.place import Place
from secura_bench.report.against.common import comparable, number_of, told
from secura_bench.report.against.ranks import orders
from secura_bench.report.against.rows import lines_of
from secura_bench.report.against.shapes import Part, Shape
from secura_bench.report.against.sources import Left, Source, is_anothers
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import Column, Number, Row, Table


def methods(shape: Shape, source: Source, against: bool) -> Iterator[Table]:
    """Yield a table a model; one that is not the publication's stands beside its first."""
    for model in sorted(source.studies, key=lambda name: (name not in shape.models, name)):
        if all(is_anothers(shape, sequence) for sequence in source.studies[model].sequences):
            continue
        table = _table(shape, source, model, against)
        entries = (entry for row in table.rows for entry in row.entries)
        if any(isinstance(entry, Number) and not entry.cell.missing for entry in entries):
            yield table


def _table(shape: Shape, source: Source, model: str, against: bool) -> Table:
    study, part = source.studies[model], source.part
    beside = model if model in shape.models else shape.models[0]
    own = [p for p in shape.publication.numbers if p.table == shape.id and p.model in (beside, "")]
    pairs = list(dict.fromkeys((place.task, place.metric) for place in own if place.metric in part.metrics))
    columns = [
        Column(
            part.heading(metric),
            of={"task": task, "metric": metric},
            digits=4 if part.measured(metric).what == "log_change" else 2,
        )
        for task, metric in pairs
    ]
    lines, aside = lines_of(shape, [source], [model])
    sequences = [sequence for sequence in study.sequences if not is_anothers(shape, sequence)]
    rows: list[Row] = []
    odd: list[Left] = []
    for line in lines:
        for arm in filter(None, dict.fromkeys(line.arm(study, sequence) for sequence in sequences)):
            arm, left = comparable(study, arm, part, line)
            odd.append(left)
            runs = [(study, run) for run in arm.runs]
            entries = []
            for task, metric in pairs:
                place = Place(shape.id, own[0].model, task, line.name, metric, variant=line.variant)
                same = part.mode == "separate" or arm.is_base or arm.sequence == part.tasks
                others = [] if same else [f"another sequence ({', '.join(arm.sequence)})"]
                stands = part.heading(metric)
                others += [] if stands == metric else [f"another measure stands for it ({stands})"]
                entries.append(number_of(_cell(study, arm, part, metric), place, runs, part, line, against, others))
            label = f"{line.name} {shape.vary}={line.variant}" if line.variant else line.label
            rows.append(Row((label, *entries), {"method": label}, model, arm.is_base))
    there = {line.name for line in lines if line.arms}
    lacking = [name for name in shape.methods if name not in there]
    gaps = [f"Published, and not run here: {', '.join(lacking)}."] if lacking else []
    gaps += [f"Left out, for another arm stands in the row: {', '.join(aside)}."] if aside else []
    gaps += [] if beside == model else [f"Beside the numbers of {beside}."]
    heads = [Column("method", "label")]
    rows, notes = told(shape, [source], rows, [*heads, *columns], against, gaps, odd)
    order = orders(rows, [*heads, *columns]) if against else []
    of = {"protocol": shape.publication.file.protocol, "model": model}
    return Table(shape.id, f"{shape.title} · {model}", (*heads, *columns), tuple(rows), (*order, *notes), of)


def _cell(study: Study, arm: Arm, part: Part, metric: str) -> Cell:
    """Return what a metric compares: a score at the end, its change, or what follows from the accuracy matrix."""
    (scored, *_), protocol, what = part.scored_by(metric), part.protocol(metric), part.measured(metric).what
    if what == "log_change":
        return _log_change(study, arm, protocol, scored)
    if what == "backward_transfer":
        return study.continual(arm, protocol, scored)["backward_transfer"] if not arm.is_base else Cell()
    if part.role(metric) == "probe":
        return study.probe(arm, protocol, scored)
    return study.final(arm, protocol, scored, part.tasks if arm.is_base else ())


def _log_change(study: Study, arm: Arm, protocol: str, metric: str) -> Cell:
    """Return the logarithm of the probe's score less that of the base's: of a perplexity, the change of the loss."""
    base, end = study.probe(study.base, protocol, metric), study.probe(arm, protocol, metric)
    if base.missing or end.missing or base.value <= 0:
        return Cell(spread="the base's record is missing" if base.missing else end.why or "not scored")
    each = tuple(math.log(value / base.value) for value in end.per_seed if value > 0)
    value = math.fsum(each) / len(each) if each else math.log(end.value / base.value)
    return Cell(value, "no interval of a change is computed", end.n, end.seeds, each, end.items_only)
