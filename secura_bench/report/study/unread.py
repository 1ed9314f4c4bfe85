"""What answering without reading scores, by accuracy: the best constant answer, and an option drawn at random."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from secura_bench.results.record import DataNote


@dataclass(frozen=True)
class Share:
    """An accuracy in percent over so many rows; None where it is not known."""

    value: float | None
    rows: int


@dataclass(frozen=True)
class Unread:
    """A way of answering without reading, by the fields of a record's data notes that hold its accuracy in percent.

    They are of the rows with options. ``choice`` scores these alone, other protocols all rows: of one without options
    an option is no answer.
    """

    task: str
    probe: str

    def of_task(self, note: DataNote | None, protocol: str) -> Share:
        """Return its accuracy on a task's scored test rows."""
        if note is None:
            return Share(None, 0)
        return _over(getattr(note, self.task), note.options, note.test_rows, protocol)

    def of_part(self, note: DataNote, protocol: str) -> Share:
        """Return its accuracy on a part of the probe."""
        return _over(getattr(note, self.probe), note.probe_options, note.probe_rows, protocol)


MAJORITY = Unread("majority", "probe_majority")
RANDOM = Unread("chance", "probe_chance")
WITHOUT_READING = {"majority answer": MAJORITY, "random choice": RANDOM}


def least(shares: Iterable[Share]) -> float:
    """Return the accuracy over all rows; of rows of which it is not known it counts as 0, and as 0 without rows."""
    found = list(shares)
    rows = sum(share.rows for share in found)
    return sum((share.value or 0.0) * share.rows for share in found) / rows if rows else 0.0


def _over(value: float | None, options: int | None, rows: int, protocol: str) -> Share:
    """Return an accuracy on rows with ``options`` (None: not counted, in older records, and taken for all) over all."""
    with_options = 0 if value is None else rows if options is None else options
    if protocol == "choice":
        return Share(value, with_options)
    return Share(value if value is None or with_options == rows else value * with_options / rows, rows)
