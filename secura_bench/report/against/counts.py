"""What each method trains, beside what the publication counts: the parameter columns of SECURA's Tables 6 and 7."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from secura_bench.publications.publication import Publication
from secura_bench.report.against.reasons import differing
from secura_bench.report.against.settings import options_of, row_of
from secura_bench.report.against.verdicts import UNPUBLISHED, marked, verdicts
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.study import Study
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.table import Column, Number, Row, Table
from secura_bench.results.record import RunRecord

_COUNTED_OTHERWISE = {
    "dora": "at that width r (h + d) and a magnitude a row are 139,264",
    "cur_lora": "the paper counts U twice",
    "i_lora": "the paper counts the averaged pair as well, which is not trained",
}
"""Where the paper's count is not of what is trained, and what it is of as far as that can be told."""
_BY_WIDTH = ("lora", "dora", "i_lora")
"""The methods whose count grows with a module's width."""
_SIZING = ("r", "m", "target_modules", "signorm", "adapter_bias")
"""The options that a count depends on."""
WIDTH = 4096


def counts(publication: Publication, studies: Sequence[Study], against: bool, notes: Sequence[str]) -> Iterator[Table]:
    """Yield the parameter columns of Tables 6 and 7: what each method trains, here and as published."""
    source = publication.file.source
    columns = [
        Column("model", "label"),
        Column("method", "label"),
        Column("per layer", of={"metric": "trained_per_layer"}, digits=0),
        Column("published", of={"metric": "published_per_layer"}, group="per layer,", digits=0),
        Column("trained", of={"metric": "trained"}, digits=0),
        Column("with a gradient", of={"metric": "trained_with_gradient"}, digits=0),
        Column("held", of={"metric": "held"}, digits=0),
    ]
    rows: dict[tuple[str, str, str], Row] = {}
    for study in studies:
        for arm in study.arms:
            record = arm.runs[0].record
            found_counts = record.parameters
            found: list[float | None] = [
                found_counts.get("per_layer"),
                found_counts.get("published_per_layer") if row_of(publication, record) else None,
                found_counts.get("trainable"),
                found_counts.get("effective"),
                found_counts.get("held"),
            ]
            if not any(found):
                continue
            numbers = [Number(Cell() if value is None else Cell(float(value))) for value in found]
            if against:
                numbers[0] = _count(publication, record, numbers[0].cell, found[1])
            of = {"model": study.model, "method": arm.method}
            rows[study.model, arm.name, arm.method] = Row((study.model, arm.method, *numbers), of, study.model)
    if not rows:
        return
    told = [
        *notes,
        "Per layer: trained, a decoder layer. Trained: given to the optimizer; of these with a gradient; held: beside "
        f"the model. Published ({source}): to thousands, for two modules of {WIDTH}×{WIDTH}.",
    ]
    shown = list(rows.values())
    if against:  # the published number stands beside the count then
        shown, reasons = marked([replace(row, entries=(*row.entries[:3], *row.entries[4:])) for row in shown])
        columns.pop(3)
        told += verdicts(shown, reasons, source)
    models = list(dict.fromkeys(row.section for row in shown))
    title = f"Tables 6 and 7 · parameters{f' · {models[0]}' if len(models) == 1 else ''}"
    yield Table("6", title, tuple(columns), tuple(shown), (*told, *footnotes.notes(studies, None)), {})


def _count(publication: Publication, record: RunRecord, cell: Cell, published: float | None) -> Number:
    """Return a count of parameters beside the published one, with the reasons why it is another."""
    if published is None:
        return Number(cell, verdict="n/c", reasons=(UNPUBLISHED,))
    name, options, difference = record.method["name"], record.method["options"], cell.value - published
    if round(cell.value, -3) == published:
        return Number(cell, False, published, difference, "same")
    sizing = {key: value for key, value in options.items() if key in _SIZING}
    row = row_of(publication, record)
    reasons = list(differing(sizing, options_of(publication, row))) if row else []
    reasons += [f"other modules than the paper's two of {WIDTH}×{WIDTH}"] if name in _BY_WIDTH else []
    reasons += [_COUNTED_OTHERWISE[name]] if name in _COUNTED_OTHERWISE else []
    return Number(cell, False, published, difference, "other", tuple(reasons) or ("other settings",))
