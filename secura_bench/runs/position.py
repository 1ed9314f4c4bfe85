"""Where a run is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass
class Position:
    """Where a run is: ``step`` steps into phase number ``phase``, with a scoring due or not.

    ``due`` is ``start`` (before any training), ``way`` (the probe, within a task) or ``end`` (the task's end, its
    boundary behind it).
    """

    phase: int = 0
    step: int = 0
    due: Literal["start", "way", "end"] | None = None

    @property
    def begun(self) -> bool:
        """Whether any training was done."""
        return bool(self.phase or self.step)

    def scored(self) -> Position:
        """Return where the run is once what is due is scored: after a task's end at the beginning of the next."""
        return Position(self.phase + 1) if self.due == "end" else Position(self.phase, self.step)

    def state_dict(self) -> dict[str, Any]:
        """Return the position as a checkpoint holds it."""
        return {"course": self.phase, "step": self.step, "due": self.due}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Position:
        """Return the position that ``state_dict`` gave."""
        return cls(state["course"], state["step"], state["due"])
