"""The text of a file, plain or packed by gzip, with line numbers in every complaint."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from secura_bench.foundation.errors import DataError

_GZIP = b"\x1f\x8b"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # UTF-32 LE begins as UTF-16 LE does


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file, numbered from 1, with their ends; a byte-order mark is passed over.

    Raises:
        DataError: It is not UTF-8; the message names the line.
    """
    with _open(path) as stream:
        for number, raw in enumerate(stream, start=1):
            if number == 1:
                _check_beginning(path, raw)
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf8(path, number, error.start) from None


def read_whole(path: Path) -> str:
    """Return the text of a UTF-8 file without its byte-order mark; complaints as in ``read_lines``."""
    with _open(path) as stream:
        raw = stream.read()
    _check_beginning(path, raw[:1000])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line_start = raw.rfind(b"\n", 0, error.start) + 1
        raise _not_utf8(path, raw.count(b"\n", 0, error.start) + 1, error.start - line_start) from None


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _check_beginning(path: Path, beginning: bytes) -> None:
    if beginning.startswith(_GZIP):
        raise DataError(f"{path}: is packed by gzip; name it {path.name}.gz.")
    if beginning.startswith(_WIDE) or b"\0" in beginning:
        raise DataError(f"{path}:1: is UTF-16 or UTF-32, or no text at all; save it as UTF-8.")


def _not_utf8(path: Path, line: int, byte: int) -> DataError:
    return DataError(f"{path}:{line}: is not UTF-8 (byte {byte} of the line); save it as UTF-8.")
