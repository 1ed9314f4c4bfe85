"""A sentence under a table, and how much of it each format says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


class Note(str):
    """A sentence that stands under a table.

    Attributes:
        brief: what a terminal says of it unless it is asked for all: what keeps a reader from being misled, or nothing.
        marks: what it explains; it stands only under a table that has one of them in a cell (without any: always).
    """

    brief: str
    marks: tuple[str, ...]

    def __new__(cls, whole: str, brief: str | None = None, marks: tuple[str, ...] = ()) -> Note:
        """Make a note; ``brief`` is the ``whole`` if it is not given."""
        note = super().__new__(cls, whole)
        note.brief = whole if brief is None else brief
        note.marks = marks
        return note

    def __reduce__(self) -> Any:
        return Note, (str(self), self.brief, self.marks)


def needed(notes: Sequence[str], marks: Collection[str]) -> list[str]:
    """Return the notes of a table whose cells have these ``marks``."""
    return [note for note in notes if not (isinstance(note, Note) and note.marks and not set(note.marks) & set(marks))]


def brief(note: str) -> str:
    """Return what a terminal says of a note, nothing where it leaves it out."""
    return note.brief if isinstance(note, Note) else note


def unsaid(note: str) -> Note:
    """Return a note that a terminal leaves out unless it is asked for all."""
    return Note(note, "")
