"""Where a printed number stands, and what of it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

AVERAGE = "average"
"""What a mean over models has for a model."""


@dataclass(frozen=True)
class Place:
    """Where a printed number stands, in this bench's names.

    ``after`` is the task trained last where tasks are scored again and again, ``base`` before the first; ``step`` the
    step within ``task``, where stages are rows; ``variant`` what an ablation varies.
    """

    table: str
    model: str
    task: str
    method: str
    metric: str
    step: int | None = None
    variant: str = ""
    after: str = ""

    @property
    def spelled(self) -> str:
        """The place in words, without what it leaves open."""
        after = f"after {self.after}" if self.after else ""
        step = f"step {self.step}" if self.step is not None else ""
        named = (self.model, " ".join(filter(None, (self.method, self.variant))), self.task, after, step, self.metric)
        return ", ".join(filter(None, named))


@dataclass(frozen=True)
class Printed:
    """A printed number.

    Attributes:
        value: in this bench's unit. unit: one of the last printed digit, in the same.
        marked: whether it is printed as the best; None where the table marks none.
        interval: whether an interval or a deviation is printed with it.
    """

    value: float
    unit: float
    marked: bool | None = None
    interval: bool = False


Numbers = Mapping[Place, Printed]
"""Printed numbers, in the order of their files."""
