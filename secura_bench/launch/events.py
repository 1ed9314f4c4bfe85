"""What a run's command writes under ``--json-lines``, turned back into what it told."""

from __future__ import annotations

import json
from typing import Any

from secura_bench.launch.worker import Told
from secura_bench.results.record import Score
from secura_bench.runs.outcome import Outcome
from secura_bench.runs.progress.events import RunActivity


class Events:
    """Reads the lines of one command; ``outcome`` is None until it has told how its runs ended."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self._units = 0.0

    def read(self, line: str) -> Told | None:
        """Return the call of ``Progress`` that a line of ``JsonLines`` tells of; None for the last, ``finished``."""
        try:
            fields: dict[str, Any] = json.loads(line)
            event, run = fields.pop("event"), fields.pop("run")
        except (ValueError, TypeError, KeyError):  # a library's words
            return Told("note", (line.rstrip(),))
        match event:
            case "start":
                self._units = fields["done"]
                return Told("start_run", (run, fields["title"], fields["units"], fields["done"]))
            case "progress":
                units = fields.pop("units")
                more, self._units = units - self._units, units
                return Told("advance", (more, RunActivity(**fields)))
            case "scored":
                return Told("scored", (Score.model_validate(fields),))
            case "note":
                return Told("note", (fields["text"],))
            case "end":
                return Told("end_run", (fields["status"], fields["summary"]))
        self.outcome = Outcome(**fields)
        return None
