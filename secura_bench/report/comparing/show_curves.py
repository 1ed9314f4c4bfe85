"""Two methods at equal learning for the eye: the numbers as a table."""

from __future__ import annotations

from collections.abc import Iterator

from secura_bench.report.comparing.curves import Curves
from secura_bench.report.comparing.words import probability
from secura_bench.report.statistics.frontier import Level
from secura_bench.report.study.cells import Cell
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import place_of, with_numbers
from secura_bench.report.tables.frontier import cell_of, reach_in_words, settings_in_words
from secura_bench.report.tables.table import Column, Number, Row, Table

_TOLD = {"open": "not told apart", "untested": "no test"}


def table_of_curves(curves: Curves) -> Table:
    """Return what both keep at one learning, and by how much the first keeps more there and over what both learned."""
    one, other = curves.one, curves.other
    ends = [Column(name, digits=1, interval="ends") for name in (one.name, other.name, "difference")]
    labels = [Column(name, "label") for name in ("verdict", f"equal within ±{curves.margin:g}")]
    columns = [Column("at equal learning", "label"), *ends, Column("p", digits=4), *labels]
    kept = "kept %" if curves.frontier.in_percent else f"probe {curves.metric.heading}"
    shown, rows = with_numbers(columns, list(_rows(curves, kept)))
    by = f" by {curves.frontier.elsewhere}" if curves.frontier.elsewhere else ""
    title = f"{curves.study.title} · {curves.protocol.heading} · {one.name} less {other.name} at equal learning{by}"
    grids = " · ".join(f"{line.name} {settings_in_words(line)}" for line in (one, other))
    notes = (f"Settings: {grids}.", *footnotes.marks())
    return Table("compare", title, tuple(shown), tuple(rows), notes, place_of(curves.study, curves.protocol))


def _rows(curves: Curves, kept: str) -> Iterator[Row]:
    found, (one, other) = curves.frontier, (curves.one, curves.other)
    shared = reach_in_words(curves.shared) if curves.shared else "nothing in common"
    verdict = _TOLD.get(curves.told, curves.told)
    equal = "–"
    if curves.equal is not None and curves.told != "one seed":
        equal = f"{'yes' if curves.within else 'not shown'}, {probability(curves.equal)}"
    nothing = Number(Cell())
    yield Row(
        (f"{kept}, mean over learning {shared}", nothing, nothing, *_gap(curves.gap), verdict, equal), {"role": "kept"}
    )
    if found.reaches(one) and found.reaches(other):
        both = (Number(cell_of(found.kept(line))) for line in (one, other))
        at = f"{kept} at learning {found.at:.1f}"
        yield Row((at, *both, *_gap(found.gap_at(one, other)), "", ""), {"role": "kept", "learned": f"{found.at:.1f}"})


def _gap(found: Level | None) -> tuple[Number, Number]:
    return Number(cell_of(found)), Number(Cell(found.p) if found and found.p is not None else Cell())
