"""Runs of this machine, several at once: a process a GPU, or a number of them on the CPU."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from secura_bench.launch.jobs import missing_jobs
from secura_bench.launch.pool import Process, do_jobs
from secura_bench.launch.worker import Order, work
from secura_bench.plan.make import Plan
from secura_bench.runs.execute import ProgressMode
from secura_bench.runs.outcome import Outcome

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
        do_jobs(jobs, results, places, lambda place: _start(devices[place], order), progress, notes, outcome)
        return outcome


def _start(device: str | None, order: Order) -> tuple[Process, Connection]:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=work, args=(theirs, order))
    with _inherited(device):
        process.start()
    theirs.close()
    return process, ours


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
