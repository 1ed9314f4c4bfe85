"""A file of rows opened by the reader of its format."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.files.delimited import read_csv, read_tsv
from secura_bench.tasks.files.formats import READ_ARE, suffix_of
from secura_bench.tasks.files.json_lines import read_json_lines
from secura_bench.tasks.files.json_whole import read_json
from secura_bench.tasks.files.paragraphs import read_paragraphs
from secura_bench.tasks.files.parquet import read_parquet
from secura_bench.tasks.files.record import Record, Records

_READERS: dict[str, Callable[[Path], tuple[str, Records]]] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".txt": read_paragraphs,
    ".parquet": read_parquet,
}


def open_records(path: Path) -> tuple[str, Records]:
    """Return what is to be said of a file's format ("" where nothing is), and its records.

    Raises:
        DataError: The file is missing, no regular file, of another kind, or damaged; the message names the line.
    """
    suffix = suffix_of(path)
    if suffix is None:
        raise DataError(f"{path}: is not a file of rows; {READ_ARE}.")
    if not path.is_file():
        what = "it is no regular file" if path.exists() else "there is no such file"
        raise DataError(f"{path}: cannot be read: {what}.")
    with _readable(path):
        said, records = _READERS[suffix.removesuffix(".gz")](path)
    return said, _guarded(path, records)


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file; complaints as in ``open_records``."""
    _, records = open_records(path)
    yield from records


def _guarded(path: Path, records: Records) -> Records:
    with _readable(path):
        yield from records


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Name the file in what goes wrong below the format."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: is damaged: {error}.") from None
