"""The file that ``data fetch`` writes: a task's rows as they are after its columns were read, one a line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from secura_bench.data.example import Row
from secura_bench.data.tasks import Columns
from secura_bench.errors import DataError

Side = Literal["train", "test"]
"""``test`` rows are those that a task names to be tested on; a task that names none has ``train`` rows alone."""

FETCHED = Columns(
    prompt="{{ prompt }}", target="{{ target }}", choices="choices", answer_index="answer_index", id="id", group="group"
)
FETCHED_TEXT = Columns(text="{{ target }}", id="id", group="group")


def fetched_name(task: str) -> str:
    """Return the name of the file of a task that says no other."""
    return f"{task}.jsonl"


def fetched_line(row: Row, side: Side, source: str, licence: str) -> str:
    """Return a row as a line of the file: its id is kept, and of its group no more than which rows share it."""
    group = None if row.group is None else hashlib.sha256(row.group.encode()).hexdigest()[:16]
    fields = {
        "id": row.id,
        "prompt": row.prompt,
        "target": row.target,
        "choices": row.choices,
        "answer_index": row.answer_index,
        "group": group,
        "side": side,
        "source": source,
        "licence": licence,
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


def is_fetched(path: Path) -> bool:
    """Return whether ``data fetch`` wrote a file, by its first line."""
    return fetched_source(path) is not None


def fetched_source(path: Path) -> str | None:
    """Return where the rows of a fetched file are from, as "hub:REPOSITORY/CONFIG@COMMIT"; None of another file.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            first: Any = json.loads(stream.readline())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except ValueError:  # whoever reads its rows says what is wrong with it
        return None
    known = isinstance(first, dict) and {"prompt", "target", "side", "source"} <= first.keys()
    source = str(first["source"]) if known else ""
    return source if source.startswith("hub:") and "@" in source else None
