"""A record: what every reader yields."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple


class Record(NamedTuple):
    """One record of a file, before a task's columns make rows of it.

    Attributes:
        place: Where it stands, to be written behind the file's name and a colon: a line, from 1.
        number: Its number in the file, from 0, from which its id is made where it has none.
        fields: Its columns.
    """

    place: str
    number: int
    fields: dict[str, Any]


Records = Generator[Record, None, None]
