"""Progress for a machine: a JSON object a line."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from secura_bench.runs.progress.events import RunActivity

if TYPE_CHECKING:
    from secura_bench.results.record import Score


class JsonLines:
    """Writes a JSON object a line, for machines.

    Events: ``start`` (run, title, units, done), ``progress`` (run, units done so far, activity, task, step, steps,
    loss, tokens_per_second), ``scored`` (run, and a record's score), ``note`` (run, text), ``end`` (run, status,
    summary). The command adds a last one, ``finished``. Keys may join; none changes its meaning.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self._run: str | None = None
        self._units = 0.0

    def start_run(self, run: str, title: str, units: float, done: float = 0.0) -> None:
        """Write ``start``."""
        self._run, self._units = run, done
        self.event("start", title=title, units=units, done=done)

    def advance(self, units: float, at: RunActivity) -> None:
        """Write ``progress``."""
        self._units += units
        self.event("progress", units=round(self._units, 3), **asdict(at))

    def scored(self, score: Score) -> None:
        """Write ``scored``."""
        self.event("scored", **score.model_dump(mode="json"))

    def note(self, line: str) -> None:
        """Write ``note``."""
        self.event("note", text=line)

    def end_run(self, status: str, summary: str) -> None:
        """Write ``end``."""
        self.event("end", status=status, summary=summary)
        self._run = None

    def event(self, event: str, **fields: Any) -> None:
        """Write one event."""
        print(json.dumps({"event": event, "run": self._run, **fields}), file=self.stream, flush=True)
