"""What came of a simulation: how often an interval held the truth, or a verdict was wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Aim = Literal["coverage", "error", "power"]
SAID = {"coverage": 95.0, "error": 5.0}
LIMIT = {"coverage": 93.0, "error": 6.0}
"""Percent: what the report says, and what is still that."""


@dataclass(frozen=True)
class Outcome:
    """One thing that a report said of one data set.

    ``hit``: the truth was covered, or the verdict was given; None where there is no interval or no test, which is no
    claim. ``items_only``: the report said that it holds for these seeds alone.
    """

    what: str
    aim: Aim
    hit: bool | None
    items_only: bool = False


@dataclass
class Count:
    """Outcomes of one kind over all data sets, those of items only apart."""

    aim: Aim
    hits: int = 0
    told: int = 0
    silent: int = 0
    items_hits: int = 0
    items_told: int = 0
    sets: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        if outcome.hit is None:
            self.silent += 1
        elif outcome.items_only:
            self.items_told += 1
            self.items_hits += outcome.hit
        else:
            self.told += 1
            self.hits += outcome.hit

    @property
    def all(self) -> int:
        """How many there were."""
        return self.told + self.silent + self.items_told

    @property
    def rate(self) -> float:
        """Percent of what was not said to be of items only; no interval counts as covering, no test as no verdict."""
        count = self.told + self.silent
        covered = self.silent if self.aim == "coverage" else 0
        return 100 * (self.hits + covered) / count if count else math.nan

    @property
    def error(self) -> float:
        """The standard error of the rate at its limit, in percent; several numbers of one data set count as one."""
        limit = LIMIT.get(self.aim, 50.0)
        return math.sqrt(limit * (100 - limit) / self.sets)

    @property
    def missed(self) -> bool:
        """Whether the rate lies beyond its limit by more than two standard errors."""
        if self.aim == "power" or math.isnan(self.rate):
            return False
        beyond = LIMIT["coverage"] - self.rate if self.aim == "coverage" else self.rate - LIMIT["error"]
        return beyond > 2 * self.error


@dataclass
class Counts:
    """The counts of one design, by what was said."""

    found: dict[str, Count] = field(default_factory=dict)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count what was said of one data set."""
        told = list(outcomes)
        for outcome in told:
            self.found.setdefault(outcome.what, Count(outcome.aim)).add(outcome)
        for what in {outcome.what for outcome in told}:
            self.found[what].sets += 1
