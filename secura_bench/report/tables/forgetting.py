"""The table of what was forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from secura_bench.report.study.cells import Cell
from secura_bench.report.study.forgetting import KINDS, every_forgetting
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.study import Study
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import LABEL, place_of, title_of
from secura_bench.report.tables.note import Note
from secura_bench.report.tables.table import Column, Number, Row, Table


def forgetting(study: Study) -> Iterator[Table]:
    """Yield what forgetting consists of, where generation and choice were both scored."""
    if not {"generate", "choice"} <= set(study.protocols):
        return
    columns = [LABEL, *(Column(kind, of={"metric": f"losses:{kind}"}, digits=1) for kind in KINDS)]
    columns.append(Column("n", "label"))
    rows = [
        Row(
            (method, *(Number(Cell(getattr(found, kind), n=found.n)) for kind in KINDS), str(found.n)),
            {"method": method},
        )
        for method, found in every_forgetting(study)
    ]
    if rows:
        notes = (
            Note(
                "Of the probe's items with choices that the base model answers right by generation, the percent "
                "that are in the end: kept, right still; format, the right choice is the likeliest, but it is not "
                "said so that it can be read; gone, wrong by choice, too; cut, without an end, so that there is no "
                "answer to judge.",
                "Of the probe's n items with choices that the base has right, in percent. Format: known, but not "
                "said so that it can be read; gone: wrong by choice, too; cut: without an end.",
            ),
            *footnotes.notes([study], "generate", ("accuracy",)),
        )
        title = f"{title_of(study, PROTOCOLS['generate'])} · what forgetting consists of"
        yield Table("losses", title, tuple(columns), tuple(rows), notes, place_of(study, PROTOCOLS["generate"]))
