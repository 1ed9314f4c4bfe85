"""Tables for the eye: as wide as the terminal, and no number is ever cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from secura_bench.foundation.harmless import plain, plain_note
from secura_bench.report.formats.text import entry, notes_under
from secura_bench.report.tables.common import value_of
from secura_bench.report.tables.note import brief
from secura_bench.report.tables.table import Column, Table

if TYPE_CHECKING:
    from rich.console import Console

GAP = 3
PIPED = 160


def print_tables(tables: Sequence[Table], whole: bool = False) -> None:
    """Print the tables to standard output; what stands under them in brief, unless the ``whole`` of it is asked for.

    Where a table is too wide, what matters least is left out and named below it (``fitted``); what is still too wide is
    dealt to several grids that share the labels. Notes are numbered, and told once: later tables name their numbers.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED)  # a file or a pipe has no width to keep to
    said: dict[str, int] = {}
    shortened = False
    for table in tables:
        fit = fitted(table, console.width)
        console.print(Text(plain(table.title), style="italic"))
        for part in chunks(fit.table.columns, fit.lines, fit.kept, console.width):
            _print(console, fit.table, fit.lines, part)
        if left_out := fit.left_out():
            _print_note(console, f"Left out in {console.width} columns: ", left_out)
        notes = notes_under(fit.table, fit.room, fit.kept)
        told = dict.fromkeys(notes if whole else filter(None, map(brief, notes)))
        shortened = shortened or list(told) != list(dict.fromkeys(notes))
        again = sorted(said[note] for note in told if note in said)
        for note in told:
            if note not in said:
                said[note] = len(said) + 1
                _print_note(console, f"{said[note]}. ", plain_note(note))
        if again:
            _print_note(console, "See above: ", f"{ranges(again)}.")
        console.print()
    if shortened:
        _print_note(console, "", "Notes are in brief: `secura-bench report RESULTS --notes` has the whole of them.")


def _print_note(console: Console, before: str, note: str) -> None:
    """Print a note as wide as the terminal, its further lines below its own beginning."""
    from rich.cells import cell_len
    from rich.text import Text

    indent = min(cell_len(before), 4)
    lines = Text(before + note).wrap(console, console.width - indent)
    for i, line in enumerate(lines):
        line.rstrip()
        console.print(Text(" " * (indent if i else 0) + line.plain, style="dim"), no_wrap=True)


def ranges(numbers: Sequence[int]) -> str:
    """Return sorted numbers with what follows one another as a range: ``1–3, 5``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(f"{of[0]}–{of[-1]}" if len(of) > 2 else ", ".join(map(str, of)) for of in found)


@dataclass(frozen=True)
class Fit:
    """A table made to fit: as it is drawn, its cells as text, and the positions of the columns ``kept``.

    ``room``: whether intervals are drawn that are only where there is room for them.
    """

    table: Table
    lines: list[list[str]]
    kept: list[int]
    room: bool

    def left_out(self) -> str:
        """Return the columns that went, but for labels that say nothing; a group's name stands once."""
        columns, lines = self.table.columns, self.lines
        gone = [
            column
            for i, column in enumerate(columns)
            if i not in self.kept and not _says_nothing(column, [line[i] for line in lines])
        ]
        named: dict[str, list[str]] = {}
        for column in gone:
            named.setdefault(column.group or column.heading, []).append(column.heading if column.group else "")
        said = [f"{group} {', '.join(headings)}".strip() for group, headings in named.items()]
        return f"{'; '.join(map(plain, said))}." if said else ""


def fitted(table: Table, width: int) -> Fit:
    """Return a table made to fit into ``width``.

    The first to go are intervals that want room, then spare columns in their order, then an interval's ends for how far
    off the farther is. Whether there is room is told by the width that they would take: what is not shown is not
    computed. A row goes whose numbers all went.
    """

    def texts(table: Table, room: bool) -> list[list[str]]:
        return [[entry(c, e, room) for c, e in zip(table.columns, row.entries, strict=True)] for row in table.rows]

    room, lines = False, texts(table, False)
    every = fitting(table.columns, lines, 10**6)
    wanting = sum(table.columns[i].interval == "room" for i in every)
    if wanting and _needed(table.columns, lines, every) + len(" ±12.3") * wanting <= width:
        room, lines = True, texts(table, True)
    kept = fitting(table.columns, lines, width)
    if _needed(table.columns, lines, kept) > width:
        halves = tuple(replace(c, interval="half") if c.interval == "ends" else c for c in table.columns)
        halved = replace(table, columns=halves)
        narrower = texts(halved, False)
        fewer = fitting(halves, narrower, width)
        if _needed(halves, narrower, fewer) <= width:
            room, table, lines, kept = False, halved, narrower, fewer
    gone = set(range(len(table.columns))) - set(kept)
    stay = [not any(value_of(row, i) for i in gone) or any(value_of(row, i) for i in kept) for row in table.rows]
    rows = tuple(row for row, stays in zip(table.rows, stay, strict=True) if stays)
    return Fit(replace(table, rows=rows), [line for line, stays in zip(lines, stay, strict=True) if stays], kept, room)


def fitting(columns: Sequence[Column], lines: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the positions of the columns to show: labels that say nothing left out, then spare columns in order."""
    kept = [i for i, column in enumerate(columns) if not _says_nothing(column, [line[i] for line in lines])]
    for spare in sorted({column.spare for column in columns} - {0}):
        if _needed(columns, lines, kept) <= width:
            break
        kept = [i for i in kept if columns[i].spare != spare]
    return kept


def chunks(
    columns: Sequence[Column], lines: Sequence[Sequence[str]], kept: Sequence[int], width: int
) -> list[list[int]]:
    """Return ``kept`` dealt to grids that fit into ``width``: the leading labels in each, one more column at least.

    Columns of one group stay together where a grid has room for them all.
    """
    labels = [i for n, i in enumerate(kept) if all(columns[j].kind == "label" for j in kept[: n + 1])]
    rest = [i for i in kept if i not in labels]
    parts: list[list[int]] = [[]]
    for _, of in spans([columns[i] for i in rest], [columns[i].group for i in rest]):
        group = [rest[n] for n in of]
        whole = _needed(columns, lines, [*labels, *group]) <= width
        for unit in [group] if whole else [[i] for i in group]:
            if parts[-1] and _needed(columns, lines, [*labels, *parts[-1], *unit]) > width:
                parts.append([])
            parts[-1] += unit
    return [[*labels, *part] for part in parts]


def _says_nothing(column: Column, cells: Sequence[str]) -> bool:
    """Return whether the title says it all: the tasks or the model of a table that has no other."""
    return column.heading in ("trained on", "model") and len(set(cells)) <= 1


def _needed(columns: Sequence[Column], lines: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    return sum(_width(columns[i], [line[i] for line in lines]) + GAP for i in kept)


def _print(console: Console, table: Table, lines: Sequence[Sequence[str]], part: Sequence[int]) -> None:
    from rich.text import Text

    columns = [table.columns[i] for i in part]
    widths = [_width(table.columns[i], [line[i] for line in lines]) for i in part]

    def drawn(cells: Sequence[str]) -> str:
        return (" " * GAP).join(_padded(*of) for of in zip(columns, widths, cells, strict=True)).rstrip()

    grid = Text()
    above, below = zip(*(_halves(column) for column in columns), strict=True)
    over = [
        f" {text} ".center(sum(widths[i] for i in of) + GAP * (len(of) - 1), "─")
        if len(of) > 1
        else _padded(columns[of[0]], widths[of[0]], text)
        for text, of in spans(columns, above)
    ]
    if any(above):
        grid.append(f"\n {(' ' * GAP).join(over).rstrip()}", style="bold")
    grid.append(f"\n {drawn(below)}", style="bold")
    grid.append(f"\n {'─' * (sum(widths) + GAP * (len(widths) - 1))}")
    before = table.rows[0].section if table.rows else ""
    for row, line in zip(table.rows, lines, strict=True):
        grid.append("\n" * (1 + (row.section != before)))
        grid.append(f" {drawn([line[i] for i in part])}", style="bold" if row.strong else "")
        before = row.section
    grid.append("\n")
    console.print(grid, soft_wrap=True)


def spans(columns: Sequence[Column], above: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Return what stands above the columns, with the positions it stands over: of a group once for all its columns."""
    found: list[tuple[str, list[int]]] = []
    for i, (column, text) in enumerate(zip(columns, above, strict=True)):
        if i and column.group and column.group == columns[i - 1].group:
            found[-1][1].append(i)
        else:
            found.append((text, [i]))
    return found


def _halves(column: Column) -> tuple[str, str]:
    """Return the two lines of a heading: the group above, or the first word; one word stands below."""
    above, below = (column.group, column.heading) if column.group else column.heading.rpartition(" ")[::2]
    return plain(above), plain(below)


def _width(column: Column, cells: Sequence[str]) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, {*_halves(column), *cells}))


def _padded(column: Column, width: int, cell: str) -> str:
    from rich.cells import cell_len

    space = " " * (width - cell_len(cell))
    return cell + space if column.kind == "label" else space + cell
