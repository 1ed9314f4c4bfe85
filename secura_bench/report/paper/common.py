"""What the paper's tables share: a number beside the published one, and what stands under a table."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.records import RunRecord
from secura_bench.report import foot
from secura_bench.report.paper.against import beside, marked, ranks, verdicts
from secura_bench.report.paper.published import QA, SEQUENTIAL, Place
from secura_bench.report.paper.rows import Source
from secura_bench.report.paper.settings import STEPS, why_not
from secura_bench.report.paper.shapes import PROTOCOL, Part, Shape
from secura_bench.report.study import Cell, Study
from secura_bench.report.table import Column, Number, Row

OF = {"protocol": PROTOCOL}
"""What every number of these tables is of."""


def number_of(
    cell: Cell,
    place: Place,
    records: Sequence[tuple[Study, RunRecord]],
    part: Part,
    against: bool,
    others: Sequence[str],
) -> Number:
    """Return a cell, beside the published number if that was asked for; ``others`` are reasons why not to compare."""
    if not against:
        return Number(cell)
    found = dict.fromkeys([*others, *(reason for study, record in records for reason in why_not(study, record, part))])
    return beside(cell, place, list(found))


def told(
    shape: Shape,
    sources: Sequence[Source],
    rows: list[Row],
    columns: Sequence[Column],
    against: bool,
    gaps: Sequence[str],
) -> tuple[list[Row], tuple[str, ...]]:
    """Return the rows, their verdicts marked, and what stands under them; ``gaps`` say what is not there."""
    lines = [_reading(shape), *gaps]
    behind = {f"{study.experiment} on {study.model}" for source in sources for study in source.behind}
    if behind:
        shown = {study.experiment for source in sources for study in source.studies.values()}
        lines.append(f"Of {', '.join(sorted(shown))}; not shown: {', '.join(sorted(behind))}.")
    if any(part.metrics == ("accuracy",) for part in shape.parts):
        lines.append(
            "The paper does not say what its accuracy is, nor does its code: here all answer tokens are right."
        )
    if against:
        rows, reasons = marked(rows)
        lines += [*verdicts(rows, reasons), *ranks(rows, columns, by_section=shape.id not in SEQUENTIAL.values())]
    used = list({id(study): study for source in sources for study in source.studies.values()}.values())
    return rows, (*lines, *foot.foot(used, PROTOCOL, {*QA, "accuracy"}))


_READING = {
    "exp1": "EXP1: each task trained alone and scored on its own test rows.",
    "exp2": "EXP2: each task trained alone; scores are the probe's. MTL: one run on all tasks.",
    "exp3": "EXP3: tasks one after another; scores are the probe's, those at a task's end after its merge; the paper's "
    f"number beside is the one at the same task's end, step {STEPS}.",
}


def _reading(shape: Shape) -> str:
    how = dict.fromkeys(_READING[part.experiment] for part in shape.parts)
    return f"{' '.join(how)} –: no record. Rows of base and MTL are not in the paper; other methods' are yours."
