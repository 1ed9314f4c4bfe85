"""Tables for the eye: as wide as the terminal, and no number is ever cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secura_bench.foundation.harmless import plain, plain_note
from secura_bench.report.formats.text import entry
from secura_bench.report.tables.table import Column, Table

GAP = 3
PIPED = 160


def print_tables(tables: Sequence[Table]) -> None:
    """Print the tables to standard output.

    Where a table is too wide, the columns that matter least are left out and named below it; what is still too wide
    is dealt to several grids that share the labels. Notes are numbered, and told once: later tables name their numbers.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED)  # a file or a pipe has no width to keep to
    said: dict[str, int] = {}
    for table in tables:
        lines, kept = fitted(table, console.width)
        console.print(Text(plain(table.title), style="italic"))
        for part in chunks(table.columns, lines, kept, console.width):
            _print(console, table, lines, part)
        left_out = [_heading(c) for i, c in enumerate(table.columns) if i not in kept and c.kind == "number"]
        if left_out:
            console.print(Text(f"Left out in this narrow terminal: {', '.join(left_out)}.", style="dim"))
        again = sorted(said[note] for note in table.notes if note in said)
        for note in dict.fromkeys(table.notes):
            if note not in said:
                said[note] = len(said) + 1
                console.print(Text(f"{said[note]}. {plain_note(note)}", style="dim"))
        if again:
            console.print(Text(f"See above: {', '.join(map(str, again))}.", style="dim"))
        console.print()


def fitted(table: Table, width: int) -> tuple[list[list[str]], list[int]]:
    """Return a table's cells as text and the columns to show: the first to go are intervals that want room.

    Whether there is room is told by the width that they would take: what is not shown is not computed.
    """

    def texts(room: bool) -> list[list[str]]:
        return [[entry(c, e, room) for c, e in zip(table.columns, row.entries, strict=True)] for row in table.rows]

    lines = texts(False)
    every = fitting(table.columns, lines, 10**6)
    wanting = sum(table.columns[i].interval == "room" for i in every)
    if wanting and _needed(table.columns, lines, every) + len(" ±12.3") * wanting <= width:
        lines = texts(True)
    return lines, fitting(table.columns, lines, width)


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


def _heading(column: Column) -> str:
    return f"{column.group} {column.heading}".strip()


def _print(console: Any, table: Table, lines: Sequence[Sequence[str]], part: Sequence[int]) -> None:
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
