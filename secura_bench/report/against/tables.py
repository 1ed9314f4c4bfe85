"""A publication's own tables, made from records, and beside what was published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from secura_bench.publications.place import AVERAGE, Place
from secura_bench.publications.publication import Publication
from secura_bench.report.against.common import comparable, number_of, told
from secura_bench.report.against.counts import counts
from secura_bench.report.against.matrix import matrices
from secura_bench.report.against.methods import methods
from secura_bench.report.against.rows import PaperRow, lines_of, not_the_same
from secura_bench.report.against.shapes import Shape, shapes_of
from secura_bench.report.against.sources import (
    Left,
    Sound,
    Source,
    left_out,
    sound,
    source_of,
    unscored,
    values_of,
    without,
)
from secura_bench.report.against.stages import model_of, stages
from secura_bench.report.study.cells import Cell, ScoreKey, mean_cell
from secura_bench.report.study.protocols import metric as known
from secura_bench.report.study.runs import Role, Run, WhenScored
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import Column, Number, Row, Table


def published_tables(
    publication: Publication, studies: Sequence[Study], wanted: Sequence[str], against: bool
) -> Iterator[Table]:
    """Yield the ``wanted`` tables in a publication's shapes, from the records that there are; gaps stay gaps."""
    known = shapes_of(publication)
    shapes = [known[name] for name in wanted if name in known]
    found = sound(publication, studies) if shapes else None
    tables = [table for shape in shapes for table in _scores(shape, found, against)] if found else []
    yield from tables
    if any(name in wanted and table.layout == "counts" for name, table in publication.file.tables.items()):
        none = [] if tables or found is None else [_NONE, *left_out(found.left.values())]
        yield from counts(publication, studies, against, none)


_PROBES = {"f_task": "F-task"}
"""Probes that papers call by another name."""
_NONE = (
    "None of these records stands in a table of the paper's scores: those are teacher_forced scores of models trained "
    "on its tasks (`secura-bench ls configs` names specs that make them)."
)


def _scores(shape: Shape, found: Sound, against: bool) -> Iterator[Table]:
    """Yield a table of scores if there is a number in it."""
    sources = [source_of(found, part, shape) for part in shape.parts]
    if shape.table.layout == "stages":
        if model_of(shape, sources[0]):
            yield stages(shape, sources[0], against)
    elif shape.table.layout == "matrix":
        yield from matrices(shape, sources[0], against)
    elif shape.table.layout == "methods":
        for source in sources:
            yield from methods(shape, source, against)
    elif any(source.studies for source in sources):
        table = _table(shape, sources, against)
        entries = [entry for row in table.rows for entry in row.entries]
        if any(isinstance(entry, Number) and not entry.cell.missing for entry in entries):
            yield table


def _table(shape: Shape, sources: Sequence[Source], against: bool) -> Table:
    there = {model for source in sources for model in source.studies}
    others = there - set(shape.models)
    if shape.vary:
        others = {m for m in others if any(len(values_of(s.studies[m], shape)) > 1 for s in sources if m in s.studies)}
    models = [model for model in shape.models if model in there] + sorted(others)
    columns = [Column("model", "label"), Column("method", "label")]
    tasks = {id(source): _tasks(shape, source, models) for source in sources}
    for source in sources:
        probe = source.part.of.probe or "probe"
        for task in tasks[id(source)]:
            for name in source.part.metrics:
                role = source.part.role(name)
                of = {"role": role, "sequence": task, "metric": name, "experiment": source.part.experiment}
                plain = len(source.part.metrics) == 1
                heading, group = (task, "") if plain else (known(name).heading, task)
                columns.append(
                    Column(
                        heading,
                        of=of,
                        group=group or (f"{_PROBES.get(probe, probe)} after" if role == "probe" else "on"),
                    )
                )
    several = len(models) > 1 and not shape.vary
    sections: list[tuple[str, list[str]]] = [] if shape.merged else [(model, [model]) for model in models]
    if shape.merged or several:
        full = set(models) >= set(shape.models)
        inside = [model for model in models if model in shape.models] or models
        over = AVERAGE if full else f"average of {', '.join(inside)}" if len(inside) > 1 else inside[0]
        sections.append((over, inside))
    rows: list[Row] = []
    aside: dict[str, None] = {}
    odd: list[Left] = []
    for section, of_models in sections:
        lines, set_aside = lines_of(shape, sources, of_models)
        aside |= dict.fromkeys(set_aside)
        for line in lines:
            entries = []
            for source in sources:
                for task in tasks[id(source)]:
                    for metric in source.part.metrics:
                        cell, runs, left = _cell(source, of_models, line, task, metric)
                        odd.append(left)
                        model = AVERAGE if shape.merged or section == AVERAGE else section
                        several_parts = shape.vary and len(sources) > 1
                        varied = f"{source.part.experiment} {line.variant}" if several_parts else line.variant
                        place = Place(shape.id, model, task, line.name, metric, variant=varied)
                        reasons = not_the_same(shape, of_models)
                        entries.append(number_of(cell, place, runs, source.part, line, against, reasons))
            strong = "base" in (line.name, line.label) or line.name == "mtl"
            shown = f"{line.name} {shape.vary}={line.variant}" if line.variant else line.label
            rows.append(Row((section, shown, *entries), {"model": section, "method": shown}, section, strong))
    without = [model for model in shape.publication.file.models if model in shape.models and model not in there]
    absent = {
        **{
            f"{source.part.experiment.upper()}: nothing was trained on {{}}, and there is no published number.": [
                task for task in source.part.tasks if task not in tasks[id(source)]
            ]
            for source in sources
        },
        "No records of {}.": without,
        "Left out, for another arm stands in the row: {}.": aside,
    }
    gaps = [sentence.format(", ".join(names)) for sentence, names in absent.items() if names]
    rows, notes = told(shape, sources, rows, columns, against, gaps, odd)
    title = f"{shape.title}{f' · {sections[0][0]}' if len(sections) == 1 else ''}"
    of = {"protocol": shape.publication.file.protocol}
    return Table(shape.id, title, tuple(columns), tuple(rows), notes, of)


def _tasks(shape: Shape, source: Source, models: Sequence[str]) -> list[str]:
    """Return the tasks of a part that are worth a column: where something was trained on them, or the paper has one."""
    if shape.merged or set(models) & set(shape.models):
        return list(source.part.tasks)
    trained = {
        task
        for model in models
        if model in source.studies
        for arm in source.studies[model].arms
        for task in arm.sequence
    }
    return [task for task in source.part.tasks if task in trained]


def _cell(
    source: Source, models: Sequence[str], line: PaperRow, task: str, metric: str
) -> tuple[Cell, list[tuple[Study, Run]], Left]:
    """Return the mean over models and metrics, the runs behind it, and those that are left out of it."""
    keys: list[ScoreKey] = []
    runs: list[tuple[Study, Run]] = []
    left: dict[str, str] = {}
    metrics, protocol = source.part.scored_by(metric), source.part.protocol(metric)
    for model in models:
        study = source.studies.get(model)
        arm = None if study is None else line.arm(study, (task,))
        if study is None or arm is None:
            return Cell(spread=f"no record of {line.label} on {model}"), [], {}
        role: Role = source.part.role(metric)
        at: WhenScored = "learned" if role == "task" else "end"
        of = task if role == "task" else study.probe_name
        arm, odd = comparable(study, arm, source.part, line)
        arm, gone = without(arm, partial(unscored, protocol=protocol, metrics=metrics, role=role, task=of, at=at))
        left |= {**odd, **gone}
        keys += [ScoreKey(arm, protocol, name, role, of, at) for name in metrics]
        runs += [(study, run) for run in arm.runs]
    return mean_cell(keys), runs, left
