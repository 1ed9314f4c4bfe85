"""Accelerate's trackers (TensorBoard, Weights & Biases, ...) beside a run: one that fails is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from secura_bench.foundation.errors import SpecError, unknown_name


def check_trackers(names: Sequence[str]) -> None:
    """Refuse names that accelerate does not know, before anything runs.

    Raises:
        SpecError: Names the tracker and the known ones.
    """
    known = _known()
    for name in names:
        if name not in known:
            raise SpecError(f"--report-to: {unknown_name('tracker', name, known)}")


class Trackers:
    """Every tracker that was asked for, for one run. ``folder`` is where those write that write to disk.

    ``note`` is told, once each, of those that fail.
    """

    def __init__(
        self, names: Sequence[str], folder: Path, run: str, config: Mapping[str, Any], note: Callable[[str], None]
    ) -> None:
        self._note = note
        self._members: dict[str, Any] = {}

        def start(name: str) -> None:
            kind = _known()[name]
            tracker = kind(run, str(folder)) if kind.requires_logging_directory else kind(run)
            if hasattr(tracker, "start"):
                tracker.start()
            self._members[name] = tracker
            tracker.store_init_configuration(dict(config))

        for name in names:
            self._try(name, lambda name=name: start(name))  # type: ignore[misc]

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Hand the values of one optimizer step, counted over the run, to every tracker."""
        for name, tracker in list(self._members.items()):
            self._try(name, lambda tracker=tracker: tracker.log(dict(values), step=step))  # type: ignore[misc]

    def finish(self) -> None:
        """Close them."""
        for name, tracker in list(self._members.items()):
            self._try(name, tracker.finish)
        self._members = {}

    def _try(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._members.pop(name, None)
            self._note(f"tracker {name}: {type(error).__name__}: {error}; it is left out, and the run goes on")


def _known() -> dict[str, Any]:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    return {str(name): kind for name, kind in LOGGER_TYPE_TO_CLASS.items()}
