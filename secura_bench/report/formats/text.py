"""Numbers and names as text that does no harm wherever it is printed."""

from __future__ import annotations

import math
import unicodedata

from secura_bench.report.against import REASONED
from secura_bench.report.study import Cell
from secura_bench.report.table import Column, Number

LONGEST = 200
"""Longer names are cut: nobody reads a megabyte in a table."""

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # controls, overrides of direction, surrogates, line separators


def plain(text: str) -> str:
    r"""Return ``text`` on one line without anything that acts on its surroundings: such characters are spelled out.

    Terminal escapes, null bytes, line breaks and bidirectional overrides become ``\x1b``, ``\u202e`` and the like.
    """
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
    return "".join(_spelled(c) if unicodedata.category(c) in _UNSEEN else c for c in shown)


def plain_note(note: str) -> str:
    """Return a note, which may be long, made harmless line by line."""
    step = 150
    return "".join(plain(note[i : i + step]) for i in range(0, min(len(note), 4000), step))


def number(value: float, digits: int) -> str:
    """Return a number with ``digits`` decimals, an en dash where there is none; a tiny p is below, and not, 0.0000."""
    if math.isnan(value):
        return "–"
    if digits >= 4 and 0 < value < 10**-digits:
        return f"<{10**-digits:.{digits}f}"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def entry(column: Column, value: str | Number, room: bool = True) -> str:
    """Return what stands in a cell: ``57.4 [51.4, 62.7]*``, ``57.4 ±6.0``, or ``57.4 (58.0 −0.6 within)``.

    A difference is left out where the two do not compare. Without ``room`` the intervals that want it are left out.
    """
    if isinstance(value, str):
        return plain(value)
    shown = number(value.cell.value, column.digits)
    if column.interval and (room or column.interval != "room"):
        shown += _interval(value.cell, column)
    if value.best:
        shown += "*"
    if value.published is None and (value.cell.missing or not value.verdict):
        return shown
    words = []
    if value.published is not None:
        words.append(number(value.published, column.digits) + ("!" if value.flaws else ""))
    if value.difference is not None and value.verdict not in ("same", *REASONED):
        words.append(signed(value.difference, column.digits))
    words += [word for word in (value.verdict, value.marks) if word]
    return f"{shown} ({' '.join(words)})"


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


def _spelled(character: str) -> str:
    point = ord(character)
    return f"\\x{point:02x}" if point < 256 else f"\\u{point:04x}" if point < 65536 else f"\\U{point:08x}"
