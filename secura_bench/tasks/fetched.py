"""The file that ``data fetch`` writes: a task's rows as they are after its columns were read, one a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.row import Row
from secura_bench.tasks.ties import hashed

Side = Literal["train", "test"]
"""``test`` rows are those that a task names to be tested on; a task that names none has ``train`` rows alone."""


class FetchedLine(BaseModel):
    """One row: its id is kept, and of its group no more than which rows share it.

    ``source`` is where it is from, as "hub:REPOSITORY/CONFIG@COMMIT".
    """

    model_config = ConfigDict(strict=True, frozen=True)

    id: str
    prompt: str
    pair: str | None = None
    target: str
    choices: list[str] | None
    answer_index: int | None
    group: str | None
    history: list[list[str]] = []
    code: dict[str, str | list[str]] | None = None
    side: Side
    source: str
    licence: str

    @classmethod
    def of(cls, row: Row, side: Side, source: str, licence: str) -> FetchedLine:
        """Return the line of a row."""
        return cls(
            id=row.id,
            prompt=row.prompt,
            pair=row.pair,
            target=row.target,
            choices=None if row.choices is None else list(row.choices),
            answer_index=row.answer_index,
            group=None if row.group is None else hashed(row.group),
            history=[list(turn) for turn in row.history],
            code=None if row.code is None else {**vars(row.code), "stop": list(row.code.stop)},
            side=side,
            source=source,
            licence=licence,
        )

    @classmethod
    def read(cls, fields: Mapping[str, Any], where: str) -> FetchedLine:
        """Return the line that has these fields.

        Raises:
            DataError: ``data fetch`` did not write it.
        """
        try:
            return cls.model_validate(dict(fields))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise DataError(f"{where}: is no line that `data fetch` wrote: {key}: {first['msg']}.") from None

    def text(self) -> str:
        """Return the line as it stands in the file."""
        return json.dumps(self.model_dump(exclude_defaults=True), ensure_ascii=False) + "\n"

    def parts(self, kind: str) -> dict[str, Any]:
        """Return the row's parts, of a task of this kind, as columns would give them."""
        answer = {"text": self.target} if kind == "text" else {"prompt": self.prompt, "target": self.target}
        about = self.model_dump(include={"id", "pair", "group", "choices", "answer_index", "code"})
        return {**answer, **about, "history": tuple((role, text) for role, text in self.history)}


def fetched_name(task: str) -> str:
    """Return the name of the file of a task that says no other."""
    return f"{task}.jsonl"


def fetched_source(path: Path) -> str | None:
    """Return the source of a fetched file's rows; None of a file that ``data fetch`` did not write.

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
