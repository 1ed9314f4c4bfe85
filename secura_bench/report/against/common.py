"""What published tables share: a number beside the published one, and what stands under a table."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.publications.place import Place
from secura_bench.report.against.reasons import has_no_spec, why_not
from secura_bench.report.against.rows import PaperRow, not_this
from secura_bench.report.against.shapes import Part, Shape
from secura_bench.report.against.sources import Left, Source, left_out, without
from secura_bench.report.against.verdicts import beside, marked, ranks, remarks, verdicts
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.runs import Run
from secura_bench.report.study.study import Study
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.table import Column, Number, Row


def number_of(
    cell: Cell,
    place: Place,
    runs: Sequence[tuple[Study, Run]],
    part: Part,
    line: PaperRow,
    against: bool,
    others: Sequence[str],
) -> Number:
    """Return a cell, beside the published number if that was asked for; ``others`` are reasons why not to compare."""
    if not against:
        return Number(cell)
    reasons = [reason for study, run in runs for reason in why_not(study, run, part, line.varied)]
    return beside(part.publication, cell, place, list(dict.fromkeys([*others, *not_this(line), *reasons])))


def comparable(study: Study, arm: Arm, part: Part, line: PaperRow) -> tuple[Arm, Left]:
    """Return an arm's runs that may stand beside the paper's, and why its others are left out; all where none may."""
    return without(arm, lambda run: "; ".join(why_not(study, run, part, line.varied)))


def told(
    shape: Shape,
    sources: Sequence[Source],
    rows: list[Row],
    columns: Sequence[Column],
    against: bool,
    gaps: Sequence[str],
    left: Sequence[Left] = (),
) -> tuple[list[Row], tuple[str, ...]]:
    """Return the rows, their verdicts marked, and what stands under them.

    ``gaps`` say what is not there, and ``left`` which runs are left out of single numbers, beside those of the sources.
    """
    lines, layout = [_reading(shape), *gaps], shape.table.layout
    used = list(dict.fromkeys(study for source in sources for study in source.studies.values()))
    behind = {f"{s.experiment} on {s.model}" for source in sources for s in source.behind if s not in used}
    if behind:
        shown = {study.experiment for study in used}
        lines.append(f"Of {', '.join(sorted(shown))}; not shown: {', '.join(sorted(behind))}.")
    lines += left_out([*left, *(source.left for source in sources)])
    lines += shape.table.notes
    if against:
        lines += _unknown(used)
        rows, reasons = marked(rows)
        lines += verdicts(rows, reasons, shape.source)
        lines += ranks(rows, columns, by_section=layout == "scores") if layout in _ORDERED else []
        lines += remarks(rows)
    publication = shape.publication.file
    metrics = {name for part in shape.parts for metric in publication.metrics for name in part.scored_by(metric)}
    return rows, (*lines, *footnotes.notes(used, publication.protocol, metrics))


def _unknown(studies: Sequence[Study]) -> list[str]:
    """Return of how many runs it is not known what no record says."""
    runs = [run for study in studies for arm in study.arms for run in arm.runs]
    count = sum(map(has_no_spec, runs))
    if not count:
        return []
    return [
        f"Without spec.yaml beside the record, {count} of {len(runs)} runs: what the record does not say (the batch of "
        "scoring, how many rows were asked for) is not held against the paper."
    ]


_ORDERED = ("scores", "stages")
"""Layouts of which the order of the methods is told by the mean over the columns."""


def _reading(shape: Shape) -> str:
    how = " ".join(dict.fromkeys(part.of.about for part in shape.parts if part.of.about))
    lacking = [called for called, name in (("base", "base"), ("MTL", "mtl")) if not shape.row_of(name)]
    rows = f"Rows of {' and '.join(lacking)} are not in the paper; other methods' are yours." if lacking else ""
    return f"{how} –: no record. {rows if shape.table.layout in ('scores', 'stages') else ''}".strip()
