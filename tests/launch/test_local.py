"""Several processes of one command: their records are one process's, and none outlives the command."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import SPEC, secura_bench
from interrupted import assert_same

from secura_bench.foundation.errors import StoppedEarly
from secura_bench.foundation.registry import METHODS
from secura_bench.launch import local
from secura_bench.launch.worker import Failed, Fault, Lost, Told
from secura_bench.plan.make import Plan, make_plan
from secura_bench.results.folder import RunFolder
from secura_bench.runs.outcome import Outcome
from secura_bench.runs.progress.events import RunActivity
from secura_bench.runs.stopping import Stopped
from secura_bench.spec.load import load_spec

STOPS_ITS_LAUNCHER = '''
"""Stops the launcher in the middle of the first training that any process does."""
import multiprocessing, os, signal, time
from pathlib import Path
from secura_bench import Method
from secura_bench.training.loop import TrainingLoop

class Unused(Method):
    """A plugin names a method."""
    name = "unused"

inner = TrainingLoop._accumulate

def stopping(self, examples):
    if self.loop_steps == 2 and not Path("stopped").exists():
        Path("stopped").touch()
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(2)
    self.loop_steps += 1
    return inner(self, examples)

if multiprocessing.parent_process():
    TrainingLoop.loop_steps = 0
    TrainingLoop._accumulate = stopping
'''


@pytest.mark.slow
def test_a_stopped_command_leaves_no_process_and_ends_with_the_records_of_one(
    work: Path, peace: Path, monkeypatch
) -> None:
    monkeypatch.setattr(METHODS, "_objects", dict(METHODS._objects))
    (work / "stops.py").write_text(STOPS_ITS_LAUNCHER)
    command = ("run", "spec.yaml", "--jobs", "2", "--plugin", "stops.py")
    stopped = secura_bench(*command, cwd=work)
    assert stopped.returncode == 143, stopped.stderr
    assert stopped.stderr.count("stopping after this batch") == 1
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    assert "1 stopped" in secura_bench("status", cwd=work).stdout
    done = secura_bench("run", "spec.yaml", "--jobs", "2", cwd=work)
    assert done.returncode == 0 and "going on where it stopped" in stopped.stderr + done.stderr, done.stderr
    assert_same(work / "results", peace)


class Ended(Exception):  # noqa: N818
    """The worker ends, by a signal if it is a negative number."""


class Thread:
    """Stands for a worker's process: a thread that answers each run's folder by ``act``."""

    def __init__(self, connection: Connection, act: Callable[[str, Connection], Any]) -> None:
        self.exitcode: int | None = None
        self._connection, self._act = connection, act
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                try:
                    self._connection.send(self._act(self._connection.recv(), self._connection))
                except Ended as ended:
                    self.exitcode = ended.args[0]
                    break
        self._connection.close()

    def terminate(self) -> None:
        self.exitcode = 143
        self._connection.send(Told("end_run", ("stopped", "stopped")))
        with socket.socket(fileno=os.dup(self._connection.fileno())) as end:  # closing would not wake who reads it
            end.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        pass

    def join(self) -> None:
        pass


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> Plan:
    path = tmp_path_factory.mktemp("plan") / "spec.yaml"
    path.write_text(SPEC.replace("methods: [", "seeds: [1, 2, 3]\nmethods: ["))
    return make_plan(load_spec(str(path)))


def launch(plan: Plan, results: Path, monkeypatch, act: Callable[[str, Connection], Any], jobs: int = 2) -> Outcome:
    def start(device: str | None, order: Any) -> Any:
        ours, theirs = Pipe()
        return Thread(theirs, act), ours

    monkeypatch.setattr(local, "_start", start)
    return local.Local([None] * jobs).execute([plan], results)


def name_of(folder: str) -> str:
    return folder.partition("/")[2].rpartition("-")[0]


def done(folder: str, connection: Connection) -> Outcome:
    connection.send(Told("start_run", (name_of(folder), name_of(folder), 4.0, 1.0)))
    connection.send(Told("advance", (2.0, RunActivity("training", "t", 1, 2, 0.5, 10.0))))
    connection.send(Told("end_run", ("done", "done in 1 s")))
    return Outcome(done=[name_of(folder)])


def test_every_run_is_handed_out_once_and_told_of(plan: Plan, tmp_path: Path, monkeypatch, capsys) -> None:
    outcome = launch(plan, tmp_path, monkeypatch, done, jobs=3)
    assert sorted(outcome.done) == sorted(run.name for run in plan.runs) and len(plan.runs) == 4
    said = capsys.readouterr().err
    assert all(f"[{number}/4] tiny-" in said for number in (1, 2, 3, 4))


def failing(times: int, how: Callable[[], Any]) -> tuple[list[str], Callable[[str, Connection], Any]]:
    """Return the folders that were handed out, and an act that fails for seed 2 so many ``times``."""
    handed: list[str] = []

    def act(folder: str, connection: Connection) -> Any:
        handed.append(folder)
        if "-s2-" in folder and sum("-s2-" in each for each in handed) <= times:
            return how()
        return done(folder, connection)

    return handed, act


def end(code: int) -> Any:
    raise Ended(code)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lambda: Outcome(failed={"tiny-lora-r-2-tiny_group-s2": "It broke."}), "It broke."),
        (lambda: end(-signal.SIGKILL), "Its process ended by SIGKILL. That is what the system does where memory"),
        (lambda: end(1), "Its process ended with status 1."),
    ],
)
def test_what_fails_is_tried_once_more(how: Any, says: str, plan: Plan, tmp_path: Path, monkeypatch, capsys) -> None:
    handed, act = failing(1, how)
    outcome = launch(plan, tmp_path / "once", monkeypatch, act)
    assert len(handed) == 5 and len(outcome.done) == 4 and not outcome.failed
    assert capsys.readouterr().err.count("is tried once more") == 1
    handed, act = failing(2, how)
    outcome = launch(plan, tmp_path / "twice", monkeypatch, act)
    assert len(handed) == 5 and len(outcome.done) == 3
    ((name, reason),) = outcome.failed.items()
    assert name.endswith("-s2") and reason.startswith(says)
    if "process" in says:  # which could not say so itself
        run = next(run for run in plan.runs if run.name == name)
        assert "process ended" in RunFolder(tmp_path / "twice" / run.folder).failure.read_text()


def test_what_another_command_holds_is_looked_at_again_at_the_end(plan: Plan, tmp_path: Path, monkeypatch) -> None:
    handed, act = failing(2, lambda: Outcome(held={"tiny-lora-r-2-tiny_group-s2": "process 1 on here"}))
    outcome = launch(plan, tmp_path, monkeypatch, act, jobs=1)  # two would tell of their beginnings in any order
    assert "-s2-" in handed[-1] and len(handed) == 5
    assert outcome.held == {"tiny-lora-r-2-tiny_group-s2": "process 1 on here"} and len(outcome.done) == 3


def test_a_run_whose_node_is_gone_is_counted_again(plan: Plan, tmp_path: Path, monkeypatch, capsys) -> None:
    def lost_once(folder: str, connection: Connection) -> Any:
        if "-s2-" in folder:
            connection.send(Told("start_run", (name_of(folder), "second", 4.0, 1.0)))
            connection.send(Lost("Its node is gone."))
        return done(folder, connection)

    outcome = launch(plan, tmp_path, monkeypatch, lost_once, jobs=1)
    assert len(outcome.done) == 4
    said = capsys.readouterr().err
    assert "[3/4] second: Its node is gone. It is begun again." in said and "[4/5] tiny-" in said


def test_a_run_that_could_not_say_why_it_failed(plan: Plan, tmp_path: Path, monkeypatch) -> None:
    handed, act = failing(2, lambda: Failed("The node is full."))
    assert list(launch(plan, tmp_path, monkeypatch, act).failed.values()) == ["The node is full."]
    assert len(handed) == 5


def test_a_full_disk_ends_the_command(plan: Plan, tmp_path: Path, monkeypatch) -> None:
    handed, act = failing(1, lambda: Fault("No space left on device.", early=True))
    with pytest.raises(StoppedEarly, match="No space"):
        launch(plan, tmp_path, monkeypatch, act, jobs=1)
    assert len(handed) == 3, "the third seed is not begun"


def test_a_signal_stops_every_worker_and_hands_out_no_more(plan: Plan, tmp_path: Path, monkeypatch) -> None:
    def asked() -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(30)  # until the process that it stands for would be ended

    handed, act = failing(1, asked)
    with pytest.raises(Stopped) as stopped:
        launch(plan, tmp_path, monkeypatch, act, jobs=1)
    assert stopped.value.signal == signal.SIGTERM and len(handed) == 3


def test_ways_that_contradict_each_other_are_refused(work: Path) -> None:
    assert "contradict" in secura_bench("run", "spec.yaml", "--jobs", "2", "--gpus", "all", cwd=work).stderr
    together = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "::1", "MASTER_PORT": "1"}
    assert "without torchrun" in secura_bench("run", "spec.yaml", "--jobs", "2", cwd=work, **together).stderr


def test_workers_see_one_gpu_and_do_not_hear_ctrl_c(monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    with local._inherited("7"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,7"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
