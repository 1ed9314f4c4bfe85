"""What is said while runs go on: to a person (live, or plain lines), to a machine (a JSON object a line), to nobody."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from secura_bench.foundation.wording import duration

if TYPE_CHECKING:
    from secura_bench.results.lock import RunLock
    from secura_bench.results.record import Score

# What of a protocol's scores stands for "how much of the probe is left" while a run goes on.
_RETAINED = {"teacher_forced": "char_bleu", "generate": "accuracy", "choice": "accuracy"}


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


class Reporter:
    """Tells a person on a stream: one live view on a terminal, otherwise a plain line every few seconds."""

    def __init__(self, total_units: float, runs: int, stream: TextIO | None = None, every: float = 10.0) -> None:
        self.stream = stream or sys.stderr
        self.total = max(1.0, total_units)
        self.runs = runs
        self.every = every
        self._run = 0
        self._title = ""
        self._done = 0.0
        self._run_end = 0.0
        self._began = time.monotonic()
        self._said = self._began
        self._base: dict[str, float] = {}
        self._kept: dict[str, str] = {}
        self._scoring_base = False
        self._live: Any = None
        self._close = ExitStack()
        if self.stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Live
            from rich.table import Column

            self._live = Live(
                TextColumn("{task.fields[title]}", markup=False, table_column=Column(no_wrap=True)),
                BarColumn(bar_width=16),
                TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True)),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}", markup=False, table_column=Column(no_wrap=True)),
                TextColumn("{task.fields[doing]}", markup=False, table_column=Column(ratio=1)),
                console=Console(file=self.stream),
                expand=True,
                transient=True,
            )
            self._all = self._live.add_task("", total=self.total, title="all runs", doing="", left="")
            self._one = self._live.add_task("", total=1.0, title="", doing="", left="")

    def __enter__(self) -> Reporter:
        if self._live:
            self._close.enter_context(self._live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close.close()

    def start_run(self, run: str, title: str, units: float, done: float = 0.0) -> None:
        """Begin the next run."""
        self._run += 1
        self._title = f"[{self._run}/{self.runs}] {title}"
        self.total = max(1.0, self.total - done)  # an earlier process took the time for it
        self._run_end = self._done + units - done
        self._kept = {}
        self._scoring_base = title == "base"
        if self._live:
            self._live.reset(self._one, total=max(1.0, units - done))
        self._show("going on where it stopped" if done else "loading the model", now=True)

    def advance(self, units: float, at: RunActivity) -> None:
        """Move on within the run."""
        self._done = min(self._done + units, self._run_end)
        self._show(at.words)

    def scored(self, score: Score) -> None:
        """Remember what is left of the probe."""
        value = score.values.get(_RETAINED.get(score.protocol, ""))
        if score.role != "probe" or value is None:
            return
        if self._scoring_base:
            self.base({score.protocol: value})
        elif base := self._base.get(score.protocol):
            self._kept[score.protocol] = f"{100 * value / base:.0f} %"

    def base(self, values: dict[str, float]) -> None:
        """Take note of the base model's scores of the probe, by protocol."""
        self._base.update(values)

    def note(self, line: str) -> None:
        """Write the line for good."""
        if self._live:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=self.stream, flush=True)

    def end_run(self, status: str, summary: str) -> None:
        """Close the run; what it did not need (a diverged run stops early) counts as done."""
        self._done = self._run_end
        self.note(f"{self._title}: {summary}")
        if self._live:
            self._live.update(self._all, completed=self._done)

    def _show(self, doing: str, now: bool = False) -> None:
        kept = f"  kept {', '.join(self._kept.values())}" if self._kept else ""
        if self._live:
            self._live.update(self._all, completed=self._done, total=self.total, left=self.time_left())
            started = self._live.tasks[self._one].total or 1.0
            self._live.update(
                self._one, completed=started - (self._run_end - self._done), title=self._title, doing=f"{doing}{kept}"
            )
        elif now or time.monotonic() - self._said >= self.every:
            self._said = time.monotonic()
            share = 100 * self._done / self.total
            left = self.time_left()
            self.note(f"{self._title}: {doing}{kept}  {share:.0f} % of all{left and '  ' + left}")

    def time_left(self) -> str:
        """Return the time that is left at the pace so far, "" before there is a pace."""
        elapsed = time.monotonic() - self._began
        if self._done < 0.01 * self.total or elapsed < 2:
            return ""
        return f"{duration(elapsed * (self.total - self._done) / self._done)} left"


def retained(scores: Sequence[Score]) -> dict[str, float]:
    """Return the probe's score by protocol, of a record's scores: what ``Reporter.base`` takes."""
    found = {}
    for score in scores:
        value = score.values.get(_RETAINED.get(score.protocol, ""))
        if score.role == "probe" and value is not None:
            found[score.protocol] = value
    return found
