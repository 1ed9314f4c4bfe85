"""One run as a report reads it: a record, its moments, its items' scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic_core import from_json

from secura_bench.foundation.regular import open_regular
from secura_bench.report.study.items import Items, pooled, read_items
from secura_bench.results.folder import items_file
from secura_bench.results.record import MIXED, RunRecord, Score

Role = Literal["probe", "part", "task"]


@dataclass(frozen=True)
class Moment:
    """When a run was scored: ``after`` the task trained last (None before the first step), at ``step`` within it.

    ``finished``: that task's training had ended, its boundary's merge done.
    """

    after: str | None
    step: int
    finished: bool


WhenScored = Moment | Literal["start", "learned", "end"]
"""A moment, or one to be found in each run: before training; right after the task in question; at the end."""


@dataclass(frozen=True, eq=False)
class Run:
    """One record, and the folder that it lies in (None: a record by itself).

    ``between``: it is a run's end, scored between the base's weights and its own. Its log is that run's, and what it
    learned is what it scores there.
    """

    record: RunRecord
    folder: Path | None = None
    between: bool = False

    @cached_property
    def _scores(self) -> dict[tuple[str, str, str, Moment], Score]:
        return {(s.protocol, s.role, s.task, moment_of(s)): s for s in self.record.scores}

    @cached_property
    def moments(self) -> tuple[Moment, ...]:
        """Every moment at which the run was scored, in order."""
        return tuple(dict.fromkeys(moment_of(s) for s in sorted(self.record.scores, key=lambda s: s.stage)))

    @cached_property
    def end(self) -> Moment | None:
        """The moment at which the run ended, None if it did not get there (it diverged)."""
        if not trained(self.record):
            return self.moments[-1] if self.moments else None
        ends = [moment for moment in self.moments if moment.finished and moment.after is not None]
        return ends[-1] if ends and self.record.status == "done" else None

    def moment(self, at: WhenScored, task: str) -> Moment | None:
        """Return the moment that ``at`` means in this run, for ``task``."""
        if isinstance(at, Moment):
            return at if at in self.moments else None
        if not trained(self.record) or at == "end" or (at == "learned" and self.between):
            return self.end
        if at == "start":
            return next((moment for moment in self.moments if moment.after is None), None)
        return next((moment for moment in self.moments if moment.finished and moment.after in (task, MIXED)), None)

    def score(self, protocol: str, role: Role, task: str, at: WhenScored) -> Score | None:
        """Return one score; None where the run has none."""
        moment = self.moment(at, task)
        return None if moment is None else self._scores.get((protocol, role, task, moment))

    def file(self, score: Score, part: str | None = None, ending: str = ".json") -> Path | None:
        """Return where the items behind a score (of the pool's ``part``) lie, whether they are there or not."""
        return None if self.folder is None else (self.folder / items_file(score, part)).with_suffix(ending)

    @cached_property
    def _read(self) -> dict[tuple[int, str, str, str], Items | None]:
        return {}

    def items(self, score: Score) -> Items | None:
        """Return the item scores behind a score (the probe's: its parts' in their order), None where they are not."""
        key = (score.stage, score.protocol, score.role, score.task)
        if key not in self._read:
            parts = self._parts(score) if score.role == "probe" else (score.task,)
            read = [read_items(path) for part in parts if (path := self.file(score, part))]
            self._read[key] = pooled(parts, read) if score.role == "probe" else next(iter(read), None)
        return self._read[key]

    def _parts(self, probe: Score) -> tuple[str, ...]:
        """Return the probe's parts that the protocol scored: some have rows without choices alone."""
        moment = moment_of(probe)
        scored = (part for part in self.record.probe_parts if (probe.protocol, "part", part, moment) in self._scores)
        return tuple(scored) or self.record.probe_parts

    def texts(self, score: Score, task: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield each item's id, prompt, reference, prediction and extracted answer; damaged lines are left out."""
        path = self.file(score, task, ".texts.jsonl")
        yield from _read_lines(path)

    def log(self, holding: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Yield the lines of ``log.jsonl``, one a step (that hold any of these words); nothing where there is none."""
        folder = None if self.between else self.folder
        yield from _read_lines(folder / "log.jsonl" if folder is not None else None, holding)


def trained(record: RunRecord) -> bool:
    """Return whether a run trained its model at all: the base model's is only scored."""
    return record.method["name"] != "base"


def moment_of(score: Score) -> Moment:
    """Return the moment of a score."""
    return Moment(score.after, score.step, score.finished)


def _read_lines(path: Path | None, holding: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    if path is None or not path.is_file():
        return
    words = [word.encode() for word in holding]
    with open_regular(path) as stream:
        for line in stream:
            if words and not any(word in line for word in words):
                continue  # reading a line as JSON takes far longer than searching it
            try:
                entry = from_json(line)
            except ValueError:
                continue  # a torn line, of a run that was killed while it wrote
            if isinstance(entry, dict):
                yield entry
