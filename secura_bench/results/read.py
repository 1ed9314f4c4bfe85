"""Records found and read; what cannot be read is refused by file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from secura_bench.foundation.errors import RecordError
from secura_bench.foundation.nearest import nearest_path
from secura_bench.foundation.regular import read_regular
from secura_bench.results.folder import RECORD, REPLACED
from secura_bench.results.record import SCHEMA, RunRecord

_LARGEST_RECORD = 1 << 28  # bytes; of sixteen tasks scored often it is a few hundred thousand


def no_folder(path: Path) -> RecordError:
    """Return the error that says that there are no results at ``path``, with the nearest folder there is."""
    return RecordError(f"{path}: no such folder.{nearest_path(path)} `secura-bench run SPEC` makes one.")


def _raise(error: OSError) -> None:
    raise error


def find_records(root: Path, unreadable: Callable[[OSError], None] = _raise) -> Iterator[Path]:
    """Yield the paths of all records under ``root`` (a results folder, an experiment's, or a run's), sorted.

    What ``--force`` moved aside is left out, unless ``root`` is that folder. What lies beside a record (thousands of
    files of items) is not looked at. ``unreadable`` is told of folders that cannot be looked into.
    """
    for folder, below, files in os.walk(root, onerror=unreadable):
        below[:] = sorted(name for name in below if REPLACED not in name)
        if RECORD in files:
            below.clear()
            yield Path(folder, RECORD)


def read_record(path: Path) -> RunRecord:
    """Read one record.

    Raises:
        RecordError: The file is damaged, of another program, or of another schema version.
    """
    try:
        text = read_regular(path, _LARGEST_RECORD)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror or error}.") from None
    try:
        record = RunRecord.model_validate_json(text)
    except ValidationError as error:
        _refuse(path, text)
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise RecordError(f"{path}: is damaged: {f'{where}: ' if where else ''}{said}.") from None
    if record.schema_version != SCHEMA or not {"program", "schema_version"} <= record.model_fields_set:
        _refuse(path, text)
    return record


def _refuse(path: Path, text: bytes) -> None:
    """Raise what is wrong with a record as a whole: no JSON, another program's, another schema version."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: is damaged: {error}.") from None
    if not isinstance(data, dict) or data.get("program") != "secura-bench":
        raise RecordError(f"{path}: is not a record of secura-bench.")
    if data.get("schema_version") != SCHEMA:
        raise RecordError(f"{path}: has schema version {data.get('schema_version')!r}; this version reads {SCHEMA}.")
