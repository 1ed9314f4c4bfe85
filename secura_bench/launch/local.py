"""Runs of this machine, several at once: a process a GPU, or a number of them on the CPU."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from secura_bench.foundation.errors import BenchError, StoppedEarly
from secura_bench.launch.board import Board, board_of
from secura_bench.launch.jobs import Job, JobQueue, missing_jobs
from secura_bench.launch.worker import Fault, Order, Told, work
from secura_bench.plan.make import Plan
from secura_bench.results.folder import RunFolder
from secura_bench.runs.execute import ProgressMode
from secura_bench.runs.outcome import Outcome
from secura_bench.runs.stopping import Stop, Stopped

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

_SPAWN = multiprocessing.get_context("spawn")  # a forked process could not use CUDA


@dataclass(frozen=True)
class Local:
    """Does the missing runs of plans in as many processes as ``devices`` names: a GPU each, None for the CPU."""

    devices: Sequence[str | None]
    plugins: Sequence[Path] = ()
    includes: Sequence[Path] = ()
    allow_code: bool = False

    def execute(
        self,
        plans: Sequence[Plan],
        results: Path,
        progress: ProgressMode = "person",
        only: Sequence[str] = (),
        force: bool = False,
        report_to: Sequence[str] = (),
    ) -> Outcome:
        """Do the missing runs, as ``runs.execute`` does; one that fails is tried once more, in a new process.

        Raises:
            BenchError: As ``runs.execute``.
            Stopped: SIGINT or SIGTERM; every process has saved its run and ended.
        """
        outcome, notes = Outcome(), list[str]()
        jobs = missing_jobs(plans, results, only, force, outcome, notes.append)
        order = Order(
            tuple(plan.spec for plan in plans),
            results,
            force,
            report_to,
            self.plugins,
            self.includes,
            self.allow_code,
            check_memory=any(device is not None for device in self.devices),
        )
        devices = self.devices[: len(jobs)]
        places = [f"#{i + 1}" if device is None else f"GPU {device}" for i, device in enumerate(devices)]
        with board_of(progress, sum(job.units for job in jobs), len(jobs), places) as board, Stop(board.note) as stop:
            for note in notes:
                board.note(note)
            _Pool(order, devices, JobQueue(jobs), board, stop, outcome).work()
        return outcome


@dataclass
class _Worker:
    """A process, how to speak with it, and what it does."""

    process: SpawnProcess
    connection: Connection
    job: Job
    begun: bool = False
    """Whether it has told of the job's beginning."""


@dataclass
class _Pool:
    """The workers of a command, by their places on the board."""

    order: Order
    devices: Sequence[str | None]
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
        for place, device in enumerate(self.devices):
            if place in self.workers or (job := self.queue.take()) is None:
                continue
            worker = self.idle.pop(place, None) or self._start(device, job)
            worker.job, worker.begun = job, False
            self.workers[place] = worker
            with contextlib.suppress(OSError):  # it has died, of which is heard next
                worker.connection.send(job.run.folder.as_posix())

    def _start(self, device: str | None, job: Job) -> _Worker:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=work, args=(theirs, self.order))
        with _inherited(device):
            process.start()
        theirs.close()
        return _Worker(process, ours, job)

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
        job, code = worker.job, worker.process.exitcode or 0
        ended = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        reason = f"Its process ended {ended}."
        advice = "That is what the system does where memory runs out; fewer at once need less." if code == -9 else ""
        said = f"failed: {reason} {advice}".rstrip()
        if worker.begun:
            self.board.rows[place].end_run("failed", said)
        else:
            self.board.note(f"{job.run.name}: {said}")
        folder = RunFolder(self.order.results / job.run.folder)
        if not folder.finished:
            folder.fail(reason, advice, reason)
        self._ended(place, worker, Outcome(failed={job.run.name: f"{reason} {advice}".rstrip()}))


@contextlib.contextmanager
def _inherited(device: str | None) -> Iterator[None]:
    """Have processes that are started within see one GPU alone, and never hear Ctrl-C: the launcher tells them."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if device is not None:
            os.environ.pop("CUDA_VISIBLE_DEVICES")
            if before is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = before
