"""Runs of a Ray cluster: a task a run, begun again where its node is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.wording import in_a_line
from secura_bench.launch.events import Events
from secura_bench.launch.jobs import Job, missing_jobs, refuse_open_threads
from secura_bench.launch.pool import Process, do_jobs
from secura_bench.launch.ray_task import Ended, do_command
from secura_bench.launch.worker import Failed, Fault, Lost, Told
from secura_bench.plan.make import Plan
from secura_bench.results.lock import BEAT, SILENT_AFTER
from secura_bench.runs.execute import ProgressMode
from secura_bench.runs.outcome import Outcome

_STOPPED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class RayCluster:
    """Has a Ray cluster do the missing runs of plans.

    ``words`` follow ``secura-bench run`` in every task. ``gpus_per_run``: 0 for runs on the CPU, 2 or more for as many
    processes a run. ``address`` is that of a running cluster; "" for the one that Ray finds here, else one of this
    machine for this command.
    """

    words: Sequence[str]
    gpus_per_run: int
    at_a_time: int
    address: str

    def execute(
        self,
        plans: Sequence[Plan],
        results: Path,
        progress: ProgressMode = "person",
        only: Sequence[str] = (),
        force: bool = False,
        report_to: Sequence[str] = (),
    ) -> Outcome:
        """Do the missing runs, as ``runs.execute`` does; one that fails is tried once more.

        Raises:
            SpecError: A spec names no threads.
            BenchError: Ray is not there, or no cluster answers; and as ``runs.execute``.
            Stopped: SIGINT or SIGTERM; every task has saved its run and ended.
        """
        refuse_open_threads(plans, "ray")
        outcome, notes = Outcome(), list[str]()
        jobs = missing_jobs(plans, results, only, force, outcome, notes.append)
        if not jobs:
            return outcome
        places = [f"#{i + 1}" for i in range(min(self.at_a_time, len(jobs)))]
        by_folder = {job.run.folder.as_posix(): job for job in jobs}
        with _connected(self.address) as ray:
            notes += _said_of(ray.nodes(), max(map(self._cpus, jobs)), self.gpus_per_run)
            remote = ray.remote(do_command)

            def submit(folder: str) -> Any:
                job = by_folder[folder]
                words = ["run", *self.words, "--only", job.run.address, "--json-lines"]
                task = remote.options(num_cpus=self._cpus(job), num_gpus=self.gpus_per_run, max_retries=0)
                return task.remote(words, str(Path.cwd()), self._processes)

            def start(place: int) -> tuple[Process, Connection]:
                ours, theirs = Pipe()
                return RayWorker(ray, submit, theirs), ours

            do_jobs(jobs, results, places, start, progress, notes, outcome)
        return outcome

    @property
    def _processes(self) -> int:
        return max(1, self.gpus_per_run)

    def _cpus(self, job: Job) -> int:
        return job.run.threads * self._processes


class RayWorker:
    """Stands for a worker's process: a thread that has Ray do one run after another, and passes on what is told.

    ``submit`` begins the task of a run's folder, which yields what ``ray_task.do_command`` does.
    """

    def __init__(self, ray: Any, submit: Callable[[str], Any], launcher: Connection) -> None:
        self.exitcode: int | None = None
        self._ray, self._submit, self._launcher = ray, submit, launcher
        self._task: Any = None
        self._ending = threading.Event()
        self._changing = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def terminate(self) -> None:
        """Ask the run to save and end."""
        self._cancel(force=False)

    def kill(self) -> None:
        """End now; a run that is at work saves all the same, but is not waited for."""
        self._cancel(force=True)

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _cancel(self, force: bool) -> None:
        with self._changing:
            self._ending.set()
            if self._task is not None:
                self._ray.cancel(self._task, force=force)

    def _work(self) -> None:
        with contextlib.suppress(EOFError, OSError):  # the launcher has gone
            while self.exitcode is None and not self._ending.is_set():
                if self._launcher.poll(0.5):
                    self._do(self._launcher.recv())
        self._launcher.close()

    def _do(self, folder: str) -> None:
        """Do a run, on one node after another if they are taken away, and tell how it ended."""
        patient_until = 0.0
        while True:
            try:
                ended, events = self._attempt(folder, time.monotonic() < patient_until)
            except self._ray.exceptions.TaskCancelledError:
                self.exitcode = _STOPPED
                return
            except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.NodeDiedError):
                ended, events = Ended(_STOPPED, ""), Events()
            except self._ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None) or error  # what was raised on the node; else a traceback follows
                self._tell(Failed(f"Ray: {in_a_line(cause)}."))
                return
            if ended.status == _STOPPED and not self._ending.is_set():
                self._tell(Lost("Its node is gone, or is being taken away."))
                patient_until = time.monotonic() + SILENT_AFTER + 2 * BEAT  # a dead node's note counts until then
            elif events.outcome and events.outcome.held and time.monotonic() < patient_until:
                self._ending.wait(BEAT)
            elif events.outcome is not None:
                self._tell(events.outcome)
                return
            elif ended.status in (2, 3):
                self._tell(Fault(ended.said.removeprefix("secura-bench: "), early=ended.status == 3))
                return
            else:
                self.exitcode = ended.status
                return

    def _attempt(self, folder: str, waiting: bool) -> tuple[Ended, Events]:
        """Have one task do a run and pass on what it tells; while ``waiting``, not that another has the run."""
        with self._changing:
            if self._ending.is_set():
                return Ended(_STOPPED, ""), Events()
            self._task = self._submit(folder)
        events, begun, ended = Events(), not waiting, Ended(1, "")
        for reference in self._task:
            found = self._ray.get(reference)
            if isinstance(found, Ended):
                ended = found
                continue
            for line in found:
                told = events.read(line)
                begun = begun or (told is not None and told.method == "start_run")
                if told is not None and begun:
                    self._tell(told)
        return ended, events

    def _tell(self, message: Told | Lost | Failed | Fault | Outcome) -> None:
        self._launcher.send(message)


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect to a Ray cluster, and let go of it afterwards.

    Raises:
        BenchError: Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of this command's own reports to nobody
    try:
        import ray
    except ImportError:
        raise BenchError("--launcher ray: Ray is not installed: pip install 'secura-bench[ray]'.") from None
    before = signal.getsignal(signal.SIGTERM)  # Ray puts its own in its place
    try:
        ray.init(address or None, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"--address {address}" if address else "--launcher ray"
        raise BenchError(f"{where}: {in_a_line(error)}") from None
    try:
        yield ray
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


def _said_of(nodes: Sequence[dict[str, Any]], cpus: int, gpus: int) -> list[str]:
    """Return what a person should know of a cluster's ``nodes`` for runs of so many ``cpus`` and ``gpus``."""
    having = [node["Resources"] for node in nodes if node["Alive"]]
    wanted = f"{cpus} CPUs" + (f" and {gpus} GPUs" if gpus else "")
    if any(each.get("CPU", 0) >= cpus and each.get("GPU", 0) >= gpus for each in having):
        return []
    return [f"no node of the cluster has {wanted}, which a run asks for; Ray waits until one joins"]
