"""Numbers and cells as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from secura_bench.foundation.harmless import plain
from secura_bench.report.against.verdicts import REASONED
from secura_bench.report.study.cells import Cell
from secura_bench.report.tables.note import needed
from secura_bench.report.tables.table import ONE_SEED, Column, Number, Table


def number(value: float, digits: int) -> str:
    """Return a number with ``digits`` decimals, an en dash where there is none; a tiny p is below, and not, 0.0000."""
    if math.isnan(value):
        return "–"
    if digits >= 4 and 0 < value < 10**-digits:
        return f"<{10**-digits:.{digits}f}"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


@dataclass(frozen=True)
class Pieces:
    """What stands in a cell: the number, its interval, whether that is of one seed's items, what was published."""

    number: str
    interval: str = ""
    one_seed: bool = False
    published: str = ""


def pieces(column: Column, value: Number, room: bool = True) -> Pieces:
    """Return a cell in pieces. A difference from what was published is left out where the two do not compare.

    Without ``room`` the intervals that want it are left out.
    """
    drawn = bool(column.interval) and (room or column.interval != "room")
    return Pieces(
        number(value.cell.value, column.digits),
        _interval(value.cell, column) if drawn else "",
        drawn and value.cell.items_only,
        _published(column, value),
    )


def entry(column: Column, value: str | Number, room: bool = True) -> str:
    """Return what stands in a cell: ``57.4 [51.4, 62.7]*``, ``57.4 ±6.0†``, or ``57.4 (58.0 −0.6 within)``."""
    if isinstance(value, str):
        return plain(value)
    shown = pieces(column, value, room)
    return shown.number + shown.interval + ONE_SEED * shown.one_seed + "*" * value.best + shown.published


def notes_under(table: Table, room: bool = True, shown: Sequence[int] | None = None) -> list[str]:
    """Return the notes of a table that its cells (of the columns at ``shown``) need: what no cell has is not told."""
    drawn = range(len(table.columns)) if shown is None else shown
    marks: set[str] = set()
    for row in table.rows:
        for i in drawn:
            entry_ = row.entries[i]
            if isinstance(entry_, Number):
                found = pieces(table.columns[i], entry_, room)
                marks |= {found.interval.strip()[:1], ONE_SEED * found.one_seed, "*" * entry_.best}
    return needed(table.notes, marks)


def _published(column: Column, value: Number) -> str:
    if value.published is None and (value.cell.missing or not value.verdict):
        return ""
    words = []
    if value.published is not None:
        words.append(number(value.published, column.digits) + ("!" if value.flaws else ""))
    if value.difference is not None and value.verdict not in ("same", *REASONED):
        words.append(signed(value.difference, column.digits))
    words += [word for word in (value.verdict, value.marks) if word]
    return f" ({' '.join(words)})"


def signed(value: float, digits: int) -> str:
    """Return a difference with its sign."""
    return ("+" if value > 0 else "") + number(value, digits)


def _interval(cell: Cell, column: Column) -> str:
    found = cell.interval
    if found is None or found.low == found.high:
        return ""
    if column.interval == "ends":
        return f" [{number(found.low, column.digits)}, {number(found.high, column.digits)}]"
    return f" ±{number(max(found.high - cell.value, cell.value - found.low), column.digits)}"
