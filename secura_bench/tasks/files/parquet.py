"""Parquet: columns with types, some of which need care before they are texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secura_bench.foundation.errors import DataError
from secura_bench.foundation.wording import first_line
from secura_bench.tasks.files.record import Record, Records
from secura_bench.tasks.values import Number


def read_parquet(path: Path) -> tuple[str, Records]:
    """Return what is to be said of the file, and its rows, placed by their number from 1.

    Bytes are texts where they are UTF-8, and stay bytes where they are not. A number of half or single precision is
    spelled as such: 0.1, not 0.10000000149011612.
    """
    return "", _rows(path)


def _rows(path: Path) -> Records:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
            if twice is not None:
                raise DataError(f"{path}: the column {twice!r} stands there twice.")
            respelled = {field.name: field.type for field in schema if _needs_care(field.type)}
            for batch in file.iter_batches():
                for fields in batch.to_pylist():
                    number += 1
                    for name, kind in respelled.items():
                        fields[name] = _with_care(fields[name], kind)
                    yield Record(str(number), number - 1, fields)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: after row {number}, a text is not UTF-8 (byte {error.start}).") from None
    except pa.ArrowException as error:
        raise DataError(f"{path}: is not parquet that can be read: {first_line(error)}.") from None


def _needs_care(kind: Any) -> bool:
    import pyarrow.types as types

    return (
        _is_bytes(kind)
        or _is_short(kind)
        or (types.is_struct(kind) and any(_needs_care(field.type) for field in kind))
        or (_is_list(kind) and _needs_care(kind.value_type))
    )


def _with_care(value: Any, kind: Any) -> Any:
    """Return a value of the Arrow type ``kind`` with its bytes as text and its short numbers in their own spelling."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, list) and _is_list(kind):
        return [_with_care(each, kind.value_type) for each in value]
    if isinstance(value, dict):
        return {field.name: _with_care(value[field.name], field.type) for field in kind}
    if isinstance(value, float) and _is_short(kind):
        import numpy as np

        return Number(str((np.float32 if kind.bit_width == 32 else np.float16)(value)), value)
    return value


def _is_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)


def _is_short(kind: Any) -> bool:
    import pyarrow.types as types

    return types.is_float32(kind) or types.is_float16(kind)


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
