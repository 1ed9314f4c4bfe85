"""Workers that do runs at once, wherever they are: what is handed to them, heard of them, and done when one ends."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol

from secura_bench.foundation.errors import BenchError, StoppedEarly
from secura_bench.launch.board import Board, board_of
from secura_bench.launch.jobs import Job, JobQueue
from secura_bench.launch.worker import Failed, Fault, Lost, Told
from secura_bench.results.folder import RunFolder
from secura_bench.runs.execute import ProgressMode
from secura_bench.runs.outcome import Outcome
from secura_bench.runs.stopping import Stop, Stopped


class Process(Protocol):
    """A worker's process, or what stands for one that is elsewhere; named as ``multiprocessing`` does."""

    @property
    def exitcode(self) -> int | None:
        """How it ended: a negative number is a signal's."""

    def terminate(self) -> None:
        """Ask it to save its run and end."""

    def kill(self) -> None:
        """End it now."""

    def join(self) -> None:
        """Wait until it has ended."""


Start = Callable[[int], tuple[Process, Connection]]
"""Starts the worker of a place, which does each run whose folder it is sent, as ``worker.work`` does."""


def do_jobs(
    jobs: Sequence[Job],
    results: Path,
    places: Sequence[str],
    start: Start,
    progress: ProgressMode,
    notes: Sequence[str],
    outcome: Outcome,
) -> None:
    """Have workers do ``jobs``, one a place, and show it; write into ``outcome`` how they ended.

    One that fails is tried once more, by a new worker. ``places`` are named as a person is to read them.

    Raises:
        BenchError: What ends a whole command, such as a full disk.
        Stopped: SIGINT or SIGTERM; every worker has saved its run and ended.
    """
    with board_of(progress, sum(job.units for job in jobs), len(jobs), places) as board, Stop(board.note) as stop:
        for note in notes:
            board.note(note)
        _Pool(results, len(places), start, JobQueue(jobs), board, stop, outcome).work()


@dataclass
class _Worker:
    """A process, how to speak with it, and what it does."""

    process: Process
    connection: Connection
    job: Job
    begun: bool = False
    """Whether it has told of the job's beginning."""


@dataclass
class _Pool:
    """The workers of a command, by their places on the board."""

    results: Path
    places: int
    start: Start
    queue: JobQueue
    board: Board
    stop: Stop
    outcome: Outcome
    workers: dict[int, _Worker] = field(default_factory=dict)
    idle: dict[int, _Worker] = field(default_factory=dict)
    fault: Fault | None = None
    stopping: bool = False

    def work(self) -> None:
        """Hand out the queue's jobs until all are done, or someone asks to stop."""
        try:
            while True:
                if self.fault is None and self.stop.signal is None:
                    self._hand_out()
                elif not self.stopping:
                    self._stop_all()
                if not self.workers:
                    break
                found = {id(worker.connection): place for place, worker in self.workers.items()}
                for connection in wait([worker.connection for worker in self.workers.values()], timeout=0.5):
                    self._hear(found[id(connection)])
        finally:
            for worker in (*self.workers.values(), *self.idle.values()):
                worker.process.kill()  # idle ones hold nothing; others are here after a second Ctrl-C alone
                worker.process.join()
        if self.stop.signal is not None:
            raise Stopped(self.stop.signal)
        if self.fault is not None:
            raise (StoppedEarly if self.fault.early else BenchError)(self.fault.text)

    def _hand_out(self) -> None:
        """Give every worker without a job the next one; start those that are not there."""
        for place in range(self.places):
            if place in self.workers or (job := self.queue.take()) is None:
                continue
            worker = self.idle.pop(place, None) or _Worker(*self.start(place), job)
            worker.job, worker.begun = job, False
            self.workers[place] = worker
            with contextlib.suppress(OSError):  # it has died, of which is heard next
                worker.connection.send(job.run.folder.as_posix())

    def _stop_all(self) -> None:
        self.stopping = True
        for worker in self.workers.values():
            worker.process.terminate()

    def _hear(self, place: int) -> None:
        """Take in one message of a worker, or its death."""
        worker = self.workers[place]
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            del self.workers[place]
            worker.process.join()
            if not self.stopping:
                self._died(place, worker)
            return
        if isinstance(message, Told):
            if self.stopping and message.method == "note":  # that it stops: the command has said so
                return
            worker.begun = worker.begun or message.method == "start_run"
            getattr(self.board.rows[place], message.method)(*message.arguments)
            if message.method == "advance" and message.arguments[1].loss is not None:
                self.queue.start_scored(worker.job)
        elif isinstance(message, Lost):
            self._end_row(place, worker, "stopped", f"{message.why} It is begun again.")
            if worker.begun:
                self.board.again(worker.job.units)
            worker.begun = False
        elif isinstance(message, Failed):
            del self.workers[place]
            self._failed(place, worker, message.why, "")
        elif isinstance(message, Fault):
            self.fault = self.fault or message
        else:
            del self.workers[place]
            self._ended(place, worker, message)

    def _ended(self, place: int, worker: _Worker, outcome: Outcome) -> None:
        job = worker.job
        self.queue.start_scored(job)
        if outcome.failed:  # what it leaves in the process, on a GPU above all, is not for the next run
            worker.process.kill()
            worker.process.join()
        else:
            self.idle[place] = worker
        if (outcome.failed or outcome.held) and not self.stopping and self.queue.again(job):
            if outcome.failed:
                self.board.again(job.units)
                self.board.note(f"{job.run.name}: is tried once more, in a new process")
            return
        self.outcome.add(outcome)

    def _died(self, place: int, worker: _Worker) -> None:
        """Treat a worker that ended without a word as a run that failed."""
        code = worker.process.exitcode or 0
        ended = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        advice = "That is what the system does where memory runs out; fewer at once need less." if code == -9 else ""
        self._failed(place, worker, f"Its process ended {ended}.", advice)

    def _failed(self, place: int, worker: _Worker, reason: str, advice: str) -> None:
        """Write down why a run failed that could not do so itself."""
        said = f"{reason} {advice}".rstrip()
        self._end_row(place, worker, "failed", f"failed: {said}")
        folder = RunFolder(self.results / worker.job.run.folder)
        if not folder.finished:
            folder.fail(reason, advice, reason)
        self._ended(place, worker, Outcome(failed={worker.job.run.name: said}))

    def _end_row(self, place: int, worker: _Worker, status: str, summary: str) -> None:
        """Say how a run ended that could not say so itself."""
        if worker.begun:
            self.board.rows[place].end_run(status, summary)
        else:
            self.board.note(f"{worker.job.run.name}: {summary}")
