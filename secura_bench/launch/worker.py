"""A process that does runs for a launcher, one after another, and tells of them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secura_bench.foundation.errors import BenchError, StoppedEarly
from secura_bench.foundation.library_warnings import leave_out_library_warnings
from secura_bench.runs.progress.events import RunActivity

if TYPE_CHECKING:
    from secura_bench.results.record import Score
    from secura_bench.spec.experiment import ExperimentSpec


@dataclass(frozen=True)
class Order:
    """What all workers of a command are told: what the runs' plans are made of, and how runs are done."""

    specs: tuple[ExperimentSpec, ...]
    results: Path
    force: bool
    report_to: Sequence[str]
    plugins: Sequence[Path]
    includes: Sequence[Path]
    allow_code: bool
    check_memory: bool
    """Whether each worker looks whether the runs fit its device: the launcher knows only this machine's first."""


@dataclass(frozen=True)
class Told:
    """A call of ``Progress``, to be made where the worker's launcher is."""

    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Fault:
    """What ends the whole command. ``early``: nothing is wrong with it, as where the disk is full."""

    text: str
    early: bool


@dataclass(frozen=True)
class Lost:
    """What did a run is gone, through no fault of the run's: it is begun again. ``why``: a sentence."""

    why: str


@dataclass(frozen=True)
class Failed:
    """A run failed where it could not say so itself. ``why``: a sentence."""

    why: str


class _Telling:
    """Progress that is sent. Nobody may listen any more: then this process is about to be stopped."""

    def __init__(self, launcher: Connection) -> None:
        self._launcher = launcher
        self._lock = threading.Lock()  # that a signal came is told by another thread

    def _tell(self, method: str, *arguments: Any) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._launcher.send(Told(method, arguments))

    def start_run(self, run: str, title: str, units: float, done: float = 0.0) -> None:
        self._tell("start_run", run, title, units, done)

    def advance(self, units: float, at: RunActivity) -> None:
        self._tell("advance", units, at)

    def scored(self, score: Score) -> None:
        self._tell("scored", score)

    def note(self, line: str) -> None:
        self._tell("note", line)

    def end_run(self, status: str, summary: str) -> None:
        self._tell("end_run", status, summary)


def work(launcher: Connection, order: Order) -> None:
    """Do each run whose folder ``launcher`` sends, and answer with its ``Outcome``; end when nobody sends any more.

    ``Told`` goes before. SIGTERM, or the launcher's end however it comes, saves the run and ends with 143.
    """
    from secura_bench.runs.execute import execute
    from secura_bench.runs.stopping import Stopped

    leave_out_library_warnings()
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    try:
        plans = _plans(order)
        while True:
            folder = launcher.recv()
            launcher.send(execute(plans, order.results, _Telling(launcher), [folder], order.force, order.report_to))
    except Stopped as stopped:
        sys.exit(128 + stopped.signal)
    except BenchError as error:
        launcher.send(Fault(str(error), isinstance(error, StoppedEarly)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass


def _plans(order: Order) -> Any:
    from secura_bench.estimates.device import this_device
    from secura_bench.estimates.forecast import refuse_what_cannot_fit
    from secura_bench.hub.voice import hushed
    from secura_bench.methods.plugins import load_plugin
    from secura_bench.plan.make import make_plans
    from secura_bench.tasks.catalog import CATALOG

    for plugin in order.plugins:
        load_plugin(plugin)
    CATALOG.include(list(order.includes))
    if order.check_memory:
        refuse_what_cannot_fit(order.specs, this_device())
    with hushed():  # the launcher has said it
        return make_plans(order.specs, order.allow_code)


def _end_with_launcher() -> None:
    """Wait for the launcher's end, and ask this process to stop: a killed launcher leaves nobody at work."""
    if (launcher := multiprocessing.parent_process()) is not None:
        launcher.join()
        os.kill(os.getpid(), signal.SIGTERM)
