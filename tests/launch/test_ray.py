"""Runs given to Ray: a run's command on a node, what is heard of it, and what becomes of a node that is gone."""

from __future__ import annotations

import importlib.util
import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, secura_bench
from interrupted import assert_same

from secura_bench.foundation.errors import BenchError
from secura_bench.launch import ray_cluster
from secura_bench.launch.events import Events
from secura_bench.launch.ray_cluster import RayWorker
from secura_bench.launch.ray_task import Ended, do_command
from secura_bench.launch.worker import Failed, Fault, Lost, Told
from secura_bench.results.record import Score
from secura_bench.runs.outcome import Outcome
from secura_bench.runs.progress.events import RunActivity
from secura_bench.runs.progress.machine import JsonLines

SCORE = Score(
    stage=1, after="t", step=4, finished=True, role="task", protocol="generate", task="t", n=3, values={"f1": 50.0}
)
CALLS = [
    Told("note", ("a note",)),
    Told("start_run", ("name", "a title", 9.0, 2.0)),
    Told("advance", (1.5, RunActivity("training", "t", 1, 4, 0.25, 30.0))),
    Told("advance", (0.5, RunActivity("scoring"))),
    Told("scored", (SCORE,)),
    Told("end_run", ("done", "in 3 s")),
]


def lines_of(calls: list[Told], outcome: Outcome | None) -> list[str]:
    """Return what a command writes under --json-lines."""
    lines = JsonLines(written := io.StringIO())
    for call in calls:
        getattr(lines, call.method)(*call.arguments)
    if outcome is not None:
        lines.event("finished", **vars(outcome))
    return written.getvalue().splitlines()


DONE = lines_of(CALLS, Outcome(done=["name"]))


def test_a_commands_events_are_the_calls_that_it_made() -> None:
    events = Events()
    assert [events.read(line) for line in DONE] == [*CALLS, None]
    assert events.outcome == Outcome(done=["name"])
    assert Events().read("Loading weights: 3\n") == Told("note", ("Loading weights: 3",))


@pytest.fixture
def program(tmp_path: Path, monkeypatch) -> Callable[[str], None]:
    """Return what puts a shell script in the place of Python."""

    def put(script: str) -> None:
        (file := tmp_path / "python").write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(file))

    return put


def test_a_command_is_given_in_its_folder_and_says_how_it_ended(program: Any, tmp_path: Path) -> None:
    program('echo "$@"; pwd; echo no such spec >&2; exit 2')
    lines, ended = do_command(["run", "spec.yaml"], str(tmp_path), 1)
    assert lines == ["-m secura_bench.cli.leashed run spec.yaml\n", f"{tmp_path}\n"]
    assert ended == Ended(2, "no such spec")


def test_an_interrupted_command_is_asked_to_stop_and_waited_for(program: Any, tmp_path: Path) -> None:
    program("echo begun; cat; sleep 0.2; touch saved")
    task = do_command([], str(tmp_path), 1)
    assert next(task) == ["begun\n"]
    with pytest.raises(KeyboardInterrupt):
        task.throw(KeyboardInterrupt)
    assert (tmp_path / "saved").exists()


def test_a_process_of_a_run_that_fails_takes_the_others_with_it(program: Any, tmp_path: Path) -> None:
    program('echo "$RANK of $WORLD_SIZE at $MASTER_ADDR"; [ "$RANK" = 0 ] && exec cat; echo broke >&2; exit 1')
    *lines, ended = do_command([], str(tmp_path), 2)
    assert lines == [["0 of 2 at 127.0.0.1\n"]] and ended == Ended(1, "broke")


def test_the_leash_stops_a_command_whose_starter_is_gone() -> None:
    code = "from secura_bench.cli.leashed import _stop_at_end; _stop_at_end()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, cwd=ROOT)
    assert process.poll() is None
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM


class Cancelled(Exception):  # noqa: N818
    pass


class Crashed(Exception):  # noqa: N818
    pass


class OutOfMemory(Exception):  # noqa: N818
    cause: Exception | None = None


def raised(cause: Exception) -> OutOfMemory:
    """Return what Ray makes of an error on a node."""
    error = OutOfMemory("ray::do_command()\n  Traceback")
    error.cause = cause
    return error


class Ray:
    """Stands for Ray: an object's reference is the object."""

    exceptions = SimpleNamespace(
        TaskCancelledError=Cancelled, WorkerCrashedError=Crashed, NodeDiedError=Crashed, RayError=OutOfMemory
    )

    def __init__(self) -> None:
        self.cancelled = False

    def get(self, reference: Any) -> Any:
        return reference

    def cancel(self, task: Any, force: bool) -> None:
        self.cancelled = True


def attempt(*parts: Any) -> Iterator[Any]:
    """Yield the parts of what a task yields; raise those that are errors."""
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


def heard(*attempts: Iterator[Any]) -> tuple[list[Any], RayWorker]:
    """Return what a launcher hears of a run that took these attempts, and the worker."""
    waiting = iter(attempts)
    ours, theirs = Pipe()
    worker = RayWorker(Ray(), lambda folder: next(waiting), theirs)
    ours.send("trial/name-0123456789")
    messages: list[Any] = []
    try:
        while not messages or isinstance(messages[-1], Told | Lost):
            assert ours.poll(30)
            messages.append(ours.recv())
    except EOFError:
        pass
    worker.kill()
    worker.join()
    assert not list(waiting)
    return messages, worker


HELD = lines_of([Told("note", ("process 1 on gone does this run",))], Outcome(held={"name": "process 1 on gone"}))
GONE = Lost("Its node is gone, or is being taken away.")


def test_a_run_that_loses_its_node_is_begun_again_when_the_dead_nodes_note_is_old(monkeypatch) -> None:
    monkeypatch.setattr(ray_cluster, "BEAT", 0.01)
    messages, _ = heard(
        attempt(DONE[:3], Crashed()),
        attempt(HELD, Ended(3, "")),
        attempt(HELD, Ended(3, "")),
        attempt(DONE[:4], Ended(128 + signal.SIGTERM, "")),  # the node is told to end
        attempt(DONE, Ended(0, "")),
    )
    assert messages == [*CALLS[:3], GONE, *CALLS[1:4], GONE, *CALLS[1:], Outcome(done=["name"])]


@pytest.mark.parametrize(
    ("ends", "hears"),
    [
        (attempt(HELD, Ended(3, "")), Outcome(held={"name": "process 1 on gone"})),
        (attempt(Ended(2, "secura-bench: no such spec")), Fault("no such spec", early=False)),
        (attempt(Ended(3, "secura-bench: No space left")), Fault("No space left", early=True)),
        (attempt(OutOfMemory("the node is full")), Failed("Ray: OutOfMemory: the node is full.")),
        (attempt(raised(OSError("no such folder"))), Failed("Ray: OSError: no such folder.")),
    ],
)
def test_what_ends_a_run_is_told(ends: Any, hears: object) -> None:
    assert heard(ends)[0][-1] == hears


@pytest.mark.parametrize(("ends", "code"), [(Ended(-9, ""), -9), (Ended(1, "Traceback"), 1), (Cancelled(), 143)])
def test_a_command_that_dies_is_a_worker_that_died(ends: Any, code: int) -> None:
    messages, worker = heard(attempt(DONE[:2], ends))
    assert messages == CALLS[:2] and worker.exitcode == code


def test_a_task_that_is_at_work_is_cancelled() -> None:
    ray, (ours, theirs) = Ray(), Pipe()

    def until_cancelled(folder: str) -> Iterator[Any]:
        yield DONE[:2]
        while not ray.cancelled:
            time.sleep(0.01)
        raise Cancelled

    worker = RayWorker(ray, until_cancelled, theirs)
    ours.send("trial/name-0123456789")
    assert ours.poll(30)
    worker.terminate()
    worker.join()
    assert worker.exitcode == 128 + signal.SIGTERM


def test_what_no_node_has_is_said() -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}]
    assert ray_cluster._said_of(nodes, 4, 0) == []
    assert "8 CPUs, which" in ray_cluster._said_of(nodes, 8, 0)[0]
    assert "4 CPUs and 1 GPUs" in ray_cluster._said_of(nodes, 4, 1)[0]


def test_without_ray_its_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BenchError, match=r"secura-bench\[ray\]"), ray_cluster._connected(""):
        pass


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'secura-bench[ray]'")
def test_a_cluster_of_this_machine_ends_with_the_records_of_one_process(work: Path, peace: Path) -> None:
    done = secura_bench("run", "spec.yaml", "--launcher", "ray", cwd=work)
    assert done.returncode == 0, done.stderr
    assert_same(work / "results", peace)
