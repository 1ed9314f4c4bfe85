"""Tables as text, with a header: commas, semicolons, tabs or bars between the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.files.record import Record, Records
from secura_bench.tasks.files.text import read_lines

_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_LOOKED_AT = 50  # lines by which a delimiter is found


def read_csv(path: Path) -> tuple[str, Records]:
    """Return which delimiter parts the columns, and the rows; a quoted field may hold line ends.

    The delimiter is the one that parts the header; of several, the one that parts each of the first rows alike.

    Raises:
        DataError: More than one does.
    """
    lines = (line for _, line in read_lines(path))
    head = list(islice(lines, _LOOKED_AT))
    if head and (first := head[0].strip()).lower().startswith("sep="):
        raise DataError(f"{path}:1: {first!r} is a spreadsheet's own line, not the columns' names; take it out.")
    delimiter = _delimiter(path, head)
    return f"{_NAMES[delimiter]} between columns", _rows(path, chain(head, lines), delimiter)


def read_tsv(path: Path) -> tuple[str, Records]:
    """Return that tabs part the columns, and the rows; a quoted field may hold line ends."""
    return f"{_NAMES[chr(9)]} between columns", _rows(path, (line for _, line in read_lines(path)), "\t")


def _delimiter(path: Path, head: Sequence[str]) -> str:
    widths = {delimiter: _widths(head, delimiter) for delimiter in _NAMES}
    parting = [delimiter for delimiter, found in widths.items() if found and found[0] > 1]
    if len(parting) > 1:
        alike = [delimiter for delimiter in parting if len(set(widths[delimiter])) == 1]
        parting = alike if len(alike) == 1 else parting
    if len(parting) > 1:
        both = " and by ".join(f"{_NAMES[delimiter]} ({widths[delimiter][0]})" for delimiter in parting)
        raise DataError(
            f"{path}:1: is parted into columns by {both}: {head[0].strip()[:80]!r}. Quote the texts that hold one of "
            f"them, or save it with tabs, as {path.stem}.tsv."
        )
    return parting[0] if parting else ","


def _widths(lines: Iterable[str], delimiter: str) -> list[int]:
    """Return how many fields the rows have, up to the first that ``delimiter`` does not part well."""
    widths: list[int] = []
    with suppress(csv.Error):  # another delimiter, or the last line lies within quotes
        for row in csv.reader(lines, delimiter=delimiter, strict=True):
            widths += [len(row)] if row else []
    return widths


def _rows(path: Path, lines: Iterator[str], delimiter: str) -> Records:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for fields in reader:
            if not fields:
                continue
            if header is None:
                header = [name.strip() for name in fields]
                if "" in header:
                    raise DataError(
                        f"{path}:1: the first line must name every column, and column {header.index('') + 1} of "
                        f"{len(header)} has no name ({', '.join(header)}); name it, or take the last "
                        f"{_NAMES[delimiter].removesuffix('s')} out."
                    )
                if twice := next((name for name in header if header.count(name) > 1), None):
                    raise DataError(f"{path}:1: two columns are named {twice!r}; the first line must name each once.")
                continue
            if len(fields) != len(header):
                raise DataError(
                    f"{path}:{reader.line_num}: has {len(fields)} fields for {len(header)} columns "
                    f"({', '.join(header)}); quote text that holds {_NAMES[delimiter]}."
                )
            yield Record(str(reader.line_num), reader.line_num - 1, dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        kind = "TSV" if delimiter == "\t" else "CSV"
        raise DataError(f"{path}:{reader.line_num}: is not {kind}: {error}.") from None
