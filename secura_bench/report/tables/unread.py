"""What answering without reading scores, by accuracy: the best constant answer, and a choice drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

from secura_bench.report.study.study import Study
from secura_bench.results.record import DataNote


@dataclass(frozen=True)
class Unread:
    """A way of answering without reading, by the fields of a record's data notes that hold its accuracy in percent."""

    task: str
    probe: str

    def of_task(self, study: Study, task: str) -> float | None:
        """Return its accuracy on a task's scored test rows; None where they have no choices."""
        note = _notes(study).get(task)
        return getattr(note, self.task) if note else None

    def of_probe(self, study: Study, protocol: str) -> list[tuple[float | None, int]]:
        """Return its accuracy on each part of the probe that a protocol scores, and how many rows that has."""
        notes = _notes(study)
        there = [notes[part] for part in study.parts_of(protocol) if part in notes]
        return [(getattr(note, self.probe), note.probe_rows) for note in there]


WITHOUT_READING = {
    "majority answer": Unread("majority", "probe_majority"),
    "random choice": Unread("chance", "probe_chance"),
}


def _notes(study: Study) -> dict[str, DataNote]:
    return {task: note for run in study.runs for task, note in run.record.data.items()}
