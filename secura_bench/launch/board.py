"""One view of all runs that are done at once: live on a terminal, plain lines elsewhere, events for a machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from secura_bench.foundation.wording import duration
from secura_bench.runs.execute import ProgressMode, progress_of
from secura_bench.runs.progress.events import Progress, RunActivity
from secura_bench.runs.progress.live import live_view

if TYPE_CHECKING:
    from secura_bench.results.record import Score


class Board(Protocol):
    """Where workers report to."""

    @property
    def rows(self) -> Sequence[Progress]:
        """The progress of each worker."""

    def __enter__(self) -> Board: ...

    def __exit__(self, *error: object) -> None: ...

    def note(self, line: str) -> None:
        """Say something that a person should know."""

    def again(self, units: float) -> None:
        """Say that a run of so many units is done once more."""


def board_of(mode: ProgressMode, units: float, runs: int, places: Sequence[str]) -> Board:
    """Return the view of a mode; ``places`` name where workers are, and ``units`` are the work of all ``runs``."""
    return PersonBoard(units, runs, places) if mode == "person" else PlainBoard(mode, len(places))


class PlainBoard:
    """Each worker's events as one process would write them: a run's have its name."""

    def __init__(self, mode: ProgressMode, workers: int) -> None:
        self.rows = [progress_of(mode) for _ in range(workers)]
        self._own = progress_of(mode)

    def __enter__(self) -> PlainBoard:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def note(self, line: str) -> None:
        """Pass it on."""
        self._own.note(line)

    def again(self, units: float) -> None:
        """Say nothing: the run's next ``start`` does."""


class PersonBoard:
    """Tells a person on a stream: a line for all runs, and a line a worker."""

    def __init__(
        self, units: float, runs: int, places: Sequence[str], stream: TextIO | None = None, every: float = 10.0
    ) -> None:
        self.stream = stream or sys.stderr
        self.total, self.runs, self.every = max(1.0, units), runs, every
        self.done, self.begun, self.ended = 0.0, 0, 0
        self._began = self._said = time.monotonic()
        self._close = ExitStack()
        self.live: Any = live_view(self.stream) if self.stream.isatty() else None
        if self.live:
            self._all = self.live.add_task("", total=self.total, title="all runs", doing="", left="")
        self.rows: Sequence[BoardRow] = [BoardRow(self, place) for place in places]

    def __enter__(self) -> PersonBoard:
        if self.live:
            self._close.enter_context(self.live)
        return self

    def __exit__(self, *error: object) -> None:
        self._close.close()

    def note(self, line: str) -> None:
        """Write the line for good."""
        if self.live:
            self.live.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=self.stream, flush=True)

    def again(self, units: float) -> None:
        """Count a run once more."""
        self.total += units
        self.runs += 1

    def show(self) -> None:
        """Show how far all is, and now and then, where there is no terminal, how far each run is."""
        if self.live:
            self.live.update(self._all, completed=self.done, total=self.total, left=self.time_left())
        elif time.monotonic() - self._said >= self.every:
            self._said = time.monotonic()
            busy = "; ".join(f"{row.title}: {row.doing}" for row in self.rows if row.title)
            left = self.time_left()
            share = f"{100 * self.done / self.total:.0f} % of all{left and '  ' + left}"
            self.note(f"{self.ended} of {self.runs} runs ended  {share}  {busy}")

    def time_left(self) -> str:
        """Return the time that is left at the pace of all workers together, "" before there is a pace."""
        elapsed = time.monotonic() - self._began
        if self.done < 0.01 * self.total or elapsed < 2:
            return ""
        return f"{duration(elapsed * (self.total - self.done) / self.done)} left"


class BoardRow:
    """One worker's line; ``title`` is that of its run, "" between runs."""

    def __init__(self, board: PersonBoard, place: str) -> None:
        self._board, self._place = board, place
        self.title, self.doing = "", ""
        self._units, self._left = 0.0, 0.0
        if board.live:
            self._task = board.live.add_task("", total=1.0, title=f"{place}  idle", doing="", left="")

    def start_run(self, run: str, title: str, units: float, done: float = 0.0) -> None:
        """Begin the worker's next run."""
        board = self._board
        board.begun += 1
        board.total = max(1.0, board.total - done)  # an earlier process took the time for it
        self.title = f"[{board.begun}/{board.runs}] {title}"
        self._units = self._left = units - done
        if board.live:
            board.live.reset(self._task, total=max(1.0, self._units))
        if done:
            board.note(f"{self.title}: going on where it stopped")
        self._show("loading the model")

    def advance(self, units: float, at: RunActivity) -> None:
        """Move on within the run."""
        units = min(units, self._left)
        self._left -= units
        self._board.done += units
        self._show(at.words)

    def scored(self, score: Score) -> None:
        """Say nothing: the report does."""

    def note(self, line: str) -> None:
        """Write the line for good."""
        self._board.note(line)

    def end_run(self, status: str, summary: str) -> None:
        """Close the run; what it did not need counts as done."""
        self._board.done += self._left
        self._board.ended += 1
        self._board.note(f"{self.title}: {summary}")
        self.title, self._left = "", 0.0
        self._show("")

    def _show(self, doing: str) -> None:
        self.doing = doing
        if self._board.live:
            done = self._units - self._left
            title = f"{self._place}  {self.title or 'idle'}"
            self._board.live.update(self._task, completed=done, title=title, doing=doing)
        self._board.show()
