"""Files of rows: JSON lines, CSV and parquet, read so that every complaint names file and line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from secura_bench.data.tasks import DATA_SUFFIXES, Columns
from secura_bench.errors import DataError

Record = tuple[int, dict[str, Any]]

PROMPT_COLUMNS = ("prompt", "input", "question", "instruction")
ANSWER_COLUMNS = ("completion", "output", "answer", "response")
_BOOKKEEPING = ("id", "group")
_ROW = 'A row is one whole object on one line, such as {"prompt": "…", "answer": "…"}, with the task\'s own columns.'


def read_records(path: Path) -> Iterator[Record]:
    """Yield (number, columns) of every row; the number is the line, or in parquet the row, from 1.

    Raises:
        DataError: The file is missing, of another kind, or damaged; the message names the line.
    """
    readers = {".jsonl": read_jsonl, ".csv": read_csv, ".parquet": read_parquet}
    if path.suffix not in readers:
        raise DataError(f"{path}: is not a file of rows; read are {', '.join(DATA_SUFFIXES)}.")
    try:
        yield from readers[path.suffix](path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from None


def read_jsonl(path: Path) -> Iterator[Record]:
    """Yield the objects of a JSON-lines file; blank lines are passed over."""
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            fields = json.loads(line.rstrip())  # a position after the line's end would count as the next line's
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number}: is not JSON: {error.msg} at column {error.pos + 1}. {_ROW}") from None
        except (RecursionError, ValueError) as error:
            raise DataError(f"{path}:{number}: is not JSON: {error}. {_ROW}") from None
        if not isinstance(fields, dict):
            raise DataError(f"{path}:{number}: must be a JSON object, not a {type(fields).__name__}. {_ROW}")
        yield number, fields


def read_csv(path: Path) -> Iterator[Record]:
    """Yield the rows of a comma-separated file with a header; a quoted field may hold line ends."""
    reader = csv.reader((line for _, line in _lines(path)), strict=True)
    csv.field_size_limit(2**31 - 1)
    header: list[str] | None = None
    try:
        for fields in reader:
            if not fields:
                continue
            if header is None:
                header = [name.strip() for name in fields]
                if len(set(header)) < len(header) or "" in header:
                    raise DataError(f"{path}:1: the first line must name the columns, each once: {', '.join(header)}.")
                continue
            if len(fields) != len(header):
                raise DataError(
                    f"{path}:{reader.line_num}: has {len(fields)} fields for {len(header)} columns "
                    f"({', '.join(header)}); quote text that holds commas."
                )
            yield reader.line_num, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: is not CSV: {error}.") from None


def read_parquet(path: Path) -> Iterator[Record]:
    """Yield the rows of a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for fields in batch.to_pylist():
                    number += 1
                    yield number, fields
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: is not parquet: {str(error).splitlines()[0]}.") from None


def find_columns(path: Path) -> Columns:
    """Return which columns of a user's file are prompt and answer.

    By name: one of ``PROMPT_COLUMNS`` and one of ``ANSWER_COLUMNS``; else the only two columns there are, in their
    order; a column ``text`` alone makes a task of plain text. ``id`` and ``group`` are taken where they are there.

    Raises:
        DataError: The columns say nothing of the kind; the message lists them and what is wanted.
    """
    first = next(read_records(path), None)
    if first is None:
        raise DataError(f"{path}: has no rows.")
    names = [name for name in first[1] if name not in _BOOKKEEPING]
    own = {name: name for name in _BOOKKEEPING if name in first[1]}
    prompts = [name for name in names if name.strip().lower() in PROMPT_COLUMNS]
    answers = [name for name in names if name.strip().lower() in ANSWER_COLUMNS]
    if len(prompts) == len(answers) == 1:
        return Columns(prompt=_column(prompts[0]), target=_column(answers[0]), **own)
    if names == ["text"]:
        return Columns(text=_column("text"), **own)
    if len(names) == 2 and not prompts and not answers:
        return Columns(prompt=_column(names[0]), target=_column(names[1]), **own)
    raise DataError(
        f"{path}: which column is the prompt and which the answer? Found: {', '.join(first[1]) or 'none'}. Wanted: one "
        f"of {', '.join(PROMPT_COLUMNS)} and one of {', '.join(ANSWER_COLUMNS)}, or exactly two columns, or a column "
        f"'text' alone. A task file with 'file: {{path: {path.name}, columns: …}}' reads any layout (--include)."
    )


def _column(name: str) -> str:
    """Return the template of one column as it is, whatever its name."""
    return "{{ columns[" + json.dumps(name) + "] | plain }}"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file, numbered from 1; a byte-order mark is passed over."""
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number}: is not UTF-8 (byte {error.start} of the line).") from None
