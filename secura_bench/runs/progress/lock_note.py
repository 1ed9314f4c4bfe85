"""Progress for other commands: beside a run's lock stands how far the run is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secura_bench.runs.progress.events import NoProgress, RunActivity

if TYPE_CHECKING:
    from secura_bench.results.lock import RunLock


class LockNoteProgress(NoProgress):
    """Writes beside a run's lock how far the run is, for ``secura-bench status``."""

    def __init__(self, lock: RunLock) -> None:
        self._lock = lock
        self._units = 0.0

    def start_run(self, run: str, title: str, units: float, done: float = 0.0) -> None:
        """Say how much there is to do."""
        self._units = done
        self._lock.say({"units": done, "before": done, "total": units, "activity": "loading the model"}, now=True)

    def advance(self, units: float, at: RunActivity) -> None:
        """Say where the run is."""
        self._units += units
        self._lock.say(
            {"units": self._units, "activity": at.words, "task": at.task, "step": at.step, "steps": at.steps}
        )
