"""A table as a value, before it is drawn: columns, rows of numbers with what is known of them, and its notes.

Terminal, Markdown, LaTeX, CSV, JSON and the page all draw these. What a number is of is the union of the table's, the
row's and the column's ``of`` (experiment, model, protocol; method, task; metric …): one row of the tidy CSV each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from secura_bench.report.study.cells import Cell

Of = Mapping[str, str]
ONE_SEED = "†"
"""What stands beside a number of one seed, whose interval is of its items only."""


@dataclass(frozen=True)
class Column:
    """A column: ``kind`` label (text, left) or number; a narrow terminal drops columns in the order of ``spare``.

    Columns with ``spare`` 0 always stay. ``digits`` are those after the point; ``group`` is written above columns
    that share it. ``interval``: how drawn tables show intervals: not at all, by their ends, as ± the farther end
    (``half``), or so where there is room for it (``room``).
    """

    heading: str
    kind: Literal["label", "number"] = "number"
    of: Of = field(default_factory=dict)
    group: str = ""
    digits: int = 2
    spare: int = 0
    interval: Literal["", "ends", "half", "room"] = ""


@dataclass(frozen=True)
class Number:
    """A number in a table.

    Attributes:
        cell: the number and its interval.
        best: whether it is the best of its column and section, or not told apart from the best.
        published: what the paper has here, if anything. difference: the number less the published one.
        verdict: one of report/against/verdicts.py's, and the ``reasons``. marks: their letters under the table.
        flaws: why the published number cannot be right, if so. remarks: what else must be known of it.
    """

    cell: Cell
    best: bool = False
    published: float | None = None
    difference: float | None = None
    verdict: str = ""
    reasons: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    marks: str = ""

    @property
    def reason(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons)


@dataclass(frozen=True)
class Row:
    """A row: an entry a column. ``strong`` rows are references (base, MTL); a change of ``section`` draws a rule."""

    entries: tuple[str | Number, ...]
    of: Of = field(default_factory=dict)
    section: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """One table and what must stand under it. ``id`` is what a user asks for: retention, matrix, …, 10."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    of: Of = field(default_factory=dict)
