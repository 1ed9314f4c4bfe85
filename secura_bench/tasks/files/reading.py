"""A user's file opened for a task: its records, by which columns they are read, and what is to be said of that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.columns import Columns
from secura_bench.tasks.files.formats import suffix_of
from secura_bench.tasks.files.layout import Layout
from secura_bench.tasks.files.layouts import layout_of, signature
from secura_bench.tasks.files.record import Record, Records
from secura_bench.tasks.files.records import open_records
from secura_bench.tasks.files.refusal import UnclearError, refusal
from secura_bench.tasks.files.table import Table


@dataclass(frozen=True)
class OpenFile:
    """A file whose records are yet to be read; ``said`` tells how they are."""

    columns: Columns
    said: str
    records: Records


def find_layout(path: Path) -> Layout:
    """Return how a file is read by its columns' names, as its first record has them.

    Raises:
        DataError: The file cannot be read, has no rows, or its columns say nothing; the message lists them, and holds
            a task file that reads them where one can be guessed.
    """
    _, records = open_records(path)
    first = next(records, None)
    records.close()
    return _layout(path, first)


def open_file(path: Path, columns: Columns | None) -> OpenFile:
    """Return a file's records, read by ``columns``, or where there are none by their columns' names.

    Raises:
        DataError: As in ``find_layout``; and, while it is read, a record is laid out otherwise than the first.
    """
    format_said, records = open_records(path)
    if columns is not None:
        return OpenFile(columns, format_said, records)
    first = next(records, None)
    layout = _layout(path, first)
    said = f"{layout.said}; {format_said}" if format_said else layout.said
    return OpenFile(Columns.model_validate(dict(layout.columns)), said, _alike(path, first, records, layout))


def _layout(path: Path, record: Record | None) -> Layout:
    if record is None:
        raise DataError(f"{path}: has no rows. A row is a prompt and an answer.")
    table = _table(path, record)
    try:
        return layout_of(table)
    except UnclearError as error:
        if table.cells:
            error.why += " The first line must name the columns; is it a row here?"
        raise refusal(path, list(record.fields), error) from None


def _table(path: Path, record: Record) -> Table:
    suffix = suffix_of(path) or ""
    return Table(record.fields, cells=suffix.startswith((".csv", ".tsv")))


def _alike(path: Path, first: Record | None, records: Records, layout: Layout) -> Records:
    """Yield the first record and the others, which must be laid out alike."""
    if first is None:
        return
    known = {signature(first.fields)}
    yield first
    for record in records:
        form = signature(record.fields)
        if form not in known:
            _check_alike(path, record, first, layout)
            known.add(form)
        yield record


def _check_alike(path: Path, record: Record, first: Record, layout: Layout) -> None:
    why = ""
    try:
        if layout_of(_table(path, record)).columns == layout.columns:
            return
    except UnclearError as error:
        why = f": {error.why.rstrip('.')}"
    raise DataError(
        f"{path}:{record.place}: is laid out otherwise than the first row{why}. Found: "
        f"{', '.join(signature(record.fields)) or 'no column'}; there: {', '.join(signature(first.fields))}. One "
        "layout reads all rows of a file; a task file says what to do with columns that only some have."
    )
