"""Progress for a person: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.foundation.wording import duration
from secura_bench.runs.progress.events import RunActivity
from secura_bench.runs.progress.live import live_view

if TYPE_CHECKING:
    from secura_bench.results.record import Score


class Reporter:
    """Tells a person on a stream: one live view on a terminal, otherwise a plain line every few seconds.

    ``elsewhere`` says how many of all units other processes do or have done, and is asked as often.
    """

    def __init__(
        self,
        total_units: float,
        runs: int,
        stream: TextIO | None = None,
        every: float = 10.0,
        elsewhere: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.stream = stream or sys.stderr
        self.total = max(1.0, total_units)
        self.runs = runs
        self.every = every
        self._elsewhere, self._asked = elsewhere, -math.inf
        self._others = 0.0
        self._run = 0
        self._title = ""
        self._before = 0.0  # units that earlier processes did of runs that go on: a share of all, and no pace
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
            self._live = live_view(self.stream)
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
        self.total = max(1.0, self.total - done)
        self._before += done
        self._run_end = self._done + units - done
        self._kept = {}
        self._scoring_base = title == "base"
        if self._live:
            self._live.reset(self._one, total=max(1.0, units))
        self._show("going on where it stopped" if done else "loading the model", now=True)

    def advance(self, units: float, at: RunActivity) -> None:
        """Move on within the run."""
        self._done = min(self._done + units, self._run_end)
        self._show(at.words)

    def scored(self, score: Score) -> None:
        """Remember what is left of the probe."""
        value = _retained(score)
        if value is None:
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
            self._live.update(self._all, completed=self._before + self._done)

    def _show(self, doing: str, now: bool = False) -> None:
        kept = f"  kept {', '.join(self._kept.values())}" if self._kept else ""
        if self._live:
            all_ = self._before + self._own()
            self._live.update(self._all, completed=self._before + self._done, total=all_, left=self.time_left())
            started = self._live.tasks[self._one].total or 1.0
            self._live.update(
                self._one, completed=started - (self._run_end - self._done), title=self._title, doing=f"{doing}{kept}"
            )
        elif now or time.monotonic() - self._said >= self.every:
            self._said = time.monotonic()
            share = 100 * (self._before + self._done) / (self._before + self._own())
            left = self.time_left()
            self.note(f"{self._title}: {doing}{kept}  {share:.0f} % of all{left and '  ' + left}")

    def time_left(self) -> str:
        """Return the time that is left at the pace so far, "" before there is a pace."""
        elapsed = time.monotonic() - self._began
        own = self._own()
        if self._done < 0.01 * own or elapsed < 2:
            return ""
        return f"{duration(elapsed * (own - self._done) / self._done)} left"

    def _own(self) -> float:
        """Return all units but those that are done elsewhere."""
        if time.monotonic() - self._asked >= self.every:
            self._asked, self._others = time.monotonic(), self._elsewhere()
        return max(1.0, self._done, self.total - self._others)


def retained(scores: Sequence[Score]) -> dict[str, float]:
    """Return the probe's score by protocol, of a record's scores: what ``Reporter.base`` takes."""
    found = {}
    for score in scores:
        value = _retained(score)
        if value is not None:
            found[score.protocol] = value
    return found


def _retained(score: Score) -> float | None:
    """Return what stands for "how much of the probe is left" while a run goes on, if this score does."""
    main = PROTOCOLS[score.protocol].main
    return score.values.get(main.id) if score.role == "probe" and main.percent else None
