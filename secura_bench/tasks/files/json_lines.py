"""JSON lines: an object a line."""

from __future__ import annotations

import json
from pathlib import Path

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.files.json_text import DECODER
from secura_bench.tasks.files.record import Record, Records
from secura_bench.tasks.files.text import read_lines

_ROW = 'A row is one whole object on one line, such as {"prompt": "…", "answer": "…"}, with the task\'s own columns.'


def read_json_lines(path: Path) -> tuple[str, Records]:
    """Return what is to be said of the file, and its objects; blank lines are passed over."""
    return "", _objects(path)


def _objects(path: Path) -> Records:
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            fields = DECODER.decode(line.rstrip())  # a position after the line's end would count as the next line's
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number}: is not JSON: {error.msg} at column {error.pos + 1}. {_ROW}") from None
        except (RecursionError, ValueError) as error:
            raise DataError(f"{path}:{number}: is not JSON that can be read: {error}. {_ROW}") from None
        if not isinstance(fields, dict):
            raise DataError(f"{path}:{number}: must be a JSON object, not a {type(fields).__name__}. {_ROW}")
        yield Record(str(number), number - 1, fields)
