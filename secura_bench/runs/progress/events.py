"""What a run reports, and to whom it may: nobody, several at once, or only what a person should know."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from secura_bench.results.record import Score


@dataclass(frozen=True)
class RunActivity:
    """Where a run is: what it does, in words, and if it trains the step of the task, its loss and tokens a second."""

    activity: str
    task: str | None = None
    step: int = 0
    steps: int = 0
    loss: float | None = None
    tokens_per_second: float | None = None

    @property
    def words(self) -> str:
        """The same in words."""
        if self.loss is None:
            return self.activity
        speed = f"  {self.tokens_per_second:,.0f} tokens/s" if self.tokens_per_second else ""
        return f"{self.task} step {self.step}/{self.steps}  loss {self.loss:.3f}{speed}"


class Progress(Protocol):
    """Where runs report to. Units are of equal expected time, over all runs of a command."""

    def start_run(self, run: str, title: str, units: float, done: float = 0.0) -> None:
        """Say which run is next, how many units it has, and how many of them an earlier process did."""

    def advance(self, units: float, at: RunActivity) -> None:
        """Say that ``units`` more are done, and where the run is."""

    def scored(self, score: Score) -> None:
        """Say what was scored."""

    def note(self, line: str) -> None:
        """Say something that a person should know."""

    def end_run(self, status: str, summary: str) -> None:
        """Say how the run ended: ``done``, ``diverged``, ``failed`` or ``stopped``."""


class NoProgress:
    """Reports nothing: for ``--quiet``, for tests, and for every process but the first."""

    def start_run(self, run: str, title: str, units: float, done: float = 0.0) -> None:
        """Say nothing."""

    def advance(self, units: float, at: RunActivity) -> None:
        """Say nothing."""

    def scored(self, score: Score) -> None:
        """Say nothing."""

    def note(self, line: str) -> None:
        """Say nothing."""

    def end_run(self, status: str, summary: str) -> None:
        """Say nothing."""


class Warnings(NoProgress):
    """Says only what a person should know, on stderr: for ``--quiet``."""

    def note(self, line: str) -> None:
        """Write the line."""
        print(line, file=sys.stderr, flush=True)


class ProgressGroup:
    """Reports to several at once."""

    def __init__(self, members: Sequence[Progress]) -> None:
        self.members = members

    def start_run(self, run: str, title: str, units: float, done: float = 0.0) -> None:
        """Pass it on."""
        for member in self.members:
            member.start_run(run, title, units, done)

    def advance(self, units: float, at: RunActivity) -> None:
        """Pass it on."""
        for member in self.members:
            member.advance(units, at)

    def scored(self, score: Score) -> None:
        """Pass it on."""
        for member in self.members:
            member.scored(score)

    def note(self, line: str) -> None:
        """Pass it on."""
        for member in self.members:
            member.note(line)

    def end_run(self, status: str, summary: str) -> None:
        """Pass it on."""
        for member in self.members:
            member.end_run(status, summary)


class Meter:
    """Counts the units that are done, for the checkpoint, and passes everything on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.units = 0.0

    def advance(self, units: float, at: RunActivity) -> None:
        """Count units of work that are done, and say so."""
        self.units += units
        self._progress.advance(units, at)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._progress, name)
