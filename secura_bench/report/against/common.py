"""What the paper's tables share: a number beside the published one, and what stands under a table."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.report.against.verdicts import beside, marked, ranks, verdicts
from secura_bench.report.against.published import QA, SEQUENTIAL, Place
from secura_bench.report.against.reasons import has_no_spec, why_not
from secura_bench.report.against.rows import PaperRow, not_this
from secura_bench.report.against.settings import STEPS
from secura_bench.report.against.shapes import PROTOCOL, Part, Shape
from secura_bench.report.against.sources import Left, Source, left_out, without
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.runs import Run
from secura_bench.report.study.study import Study
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.table import Column, Number, Row

OF = {"protocol": PROTOCOL}
"""What every number of these tables is of."""


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
    return beside(cell, place, list(dict.fromkeys([*others, *not_this(line), *reasons])))


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
    lines = [_reading(shape), *gaps]
    used = list(dict.fromkeys(study for source in sources for study in source.studies.values()))
    behind = {f"{s.experiment} on {s.model}" for source in sources for s in source.behind if s not in used}
    if behind:
        shown = {study.experiment for study in used}
        lines.append(f"Of {', '.join(sorted(shown))}; not shown: {', '.join(sorted(behind))}.")
    lines += left_out([*left, *(source.left for source in sources)])
    if any(part.metrics == ("accuracy",) for part in shape.parts):
        lines.append(
            "The paper does not say what its accuracy is, nor does its code: here all answer tokens are right."
        )
    if against:
        lines += _unknown(used)
        rows, reasons = marked(rows)
        lines += [*verdicts(rows, reasons), *ranks(rows, columns, by_section=shape.id not in SEQUENTIAL.values())]
    return rows, (*lines, *footnotes.notes(used, PROTOCOL, {*QA, "accuracy"}))


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


_READING = {
    "exp1": "EXP1: each task trained alone and scored on its own test rows.",
    "exp2": "EXP2: each task trained alone; scores are the probe's. MTL: one run on all tasks.",
    "exp3": "EXP3: tasks one after another; scores are the probe's, those at a task's end after its merge; the paper's "
    f"number beside is the one at the same task's end, step {STEPS}.",
}


def _reading(shape: Shape) -> str:
    how = dict.fromkeys(_READING[part.experiment] for part in shape.parts)
    return f"{' '.join(how)} –: no record. Rows of base and MTL are not in the paper; other methods' are yours."
