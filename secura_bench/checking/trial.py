"""The small runs by which a method is checked: on the tiny model, two tasks one after the other, on a CPU."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import multiprocessing
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import Any, Literal

import yaml

from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.wording import in_a_line
from secura_bench.methods.plugins import plugin_fault
from secura_bench.plan.make import Plan, make_plan
from secura_bench.plan.run import Run
from secura_bench.results.folder import RECORD, RunFolder
from secura_bench.results.record import MIXED
from secura_bench.runs.one_run import do_run
from secura_bench.runs.progress.events import NoProgress, RunActivity
from secura_bench.runs.stopping import Stop
from secura_bench.spec.load import load_spec

STEPS = 10
SAVED_EVERY = 3
KILLED_AFTER = 5
"""Steps of a task after which a process is killed: the last two of them are in no checkpoint."""

_SPEC: dict[str, Any] = {
    "mode": "sequence",
    "model": "tiny",
    "tasks": ["tiny_group", "tiny_count"],
    "probe": "tiny_f_task",
    "probe_rows": 6,
    "train": {"lr": 1e-3, "steps": STEPS, "batch_size": 4},
    "evaluate": {"protocols": ["teacher_forced"], "limit": 6},
    "data": {"rows": 60},
    "log": {"every": 1},
    "checkpoint": {"every_steps": SAVED_EVERY, "every_minutes": None},
    "keep": "all",
    "seeds": [1],
    "threads": 1,
}

_METRICS = "nltk.translate.bleu_score"
"""What is imported when something is scored, in as long as half a run takes."""

When = Literal["in-task", "in-second-task", "at-boundary"]
_MOMENTS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "in-task": (("tiny_group", KILLED_AFTER), (MIXED, KILLED_AFTER)),
    "in-second-task": (("tiny_count", KILLED_AFTER), (MIXED, STEPS + KILLED_AFTER)),
}
"""The task and its step; a method that mixes the tasks has one, twice as long."""


class Fault(BenchError):  # noqa: N818 - an outcome of a check, not ours
    """What a trial came to grief on, in a line."""


@dataclass(frozen=True)
class Trial:
    """A method's spec in a folder of its own, and the one run that it stands for."""

    folder: Path
    plugin: Path
    plan: Plan

    @classmethod
    def of(cls, folder: Path, plugin: Path, entry: Mapping[str, Any]) -> Trial:
        """Write the spec of ``entry``, a method as in a spec, to ``folder``.

        Raises:
            BenchError: The entry cannot be accepted.
        """
        folder.mkdir(parents=True)
        spec = {"experiment": "check", **_SPEC, "methods": [dict(entry)]}
        (folder / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
        return cls(folder, plugin, make_plan(load_spec(str(folder / "spec.yaml"))))

    @property
    def run(self) -> Run:
        """The method's run; the other one of the plan is the base model's."""
        return self.plan.runs[1]

    def at(self, results: str) -> RunFolder:
        """Return the run's folder below one of the trial's results folders."""
        return RunFolder(self.folder / results / self.run.folder)

    def go(self, results: str) -> RunFolder:
        """Do what is left of the run; return its folder.

        Raises:
            Fault: It failed, or its loss is not finite.
        """
        folder = self.at(results)
        try:
            record = do_run(self.run, self.plan.inputs, folder, NoProgress(), Stop())
        except BenchError as error:
            raise Fault(str(error)) from error
        except Exception as error:
            raise Fault(plugin_fault(error) or in_a_line(error)) from error
        if record.status != "done":
            raise Fault(f"its run {record.status} at {record.diverged_at}")
        return folder

    def kill(self, results: str, when: When) -> None:
        """Do the run in a process of its own, from its last checkpoint, and let that process be killed by SIGKILL.

        Raises:
            Fault: It ended otherwise before.
        """
        context = _processes()
        ours, theirs = context.Pipe(duplex=False)
        victim = context.Process(target=_victim, args=(self.folder, self.plugin, results, when, theirs))
        victim.start()
        theirs.close()
        try:
            said = ours.recv()
        except EOFError:  # it was killed before it said anything
            said = ""
        victim.join()
        if victim.exitcode != -signal.SIGKILL:
            raise Fault(f"the process that was to be killed ended before, with {victim.exitcode}: {said}")


def _processes() -> ForkServerContext | SpawnContext:
    """Return the maker of processes: all but Windows has one that imports the libraries once for all of them."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "peft", "transformers.models.llama.modeling_llama", _METRICS])
    return context


class _Bomb(NoProgress):
    """Kills its process, without a word or a flush, when a run gets to a moment."""

    def __init__(self, when: When) -> None:
        self._when = when
        self._trained = False

    def advance(self, units: float, at: RunActivity) -> None:
        """Look where the run is."""
        if at.activity == "training":
            self._trained = True
            here = (at.task, at.step) in _MOMENTS.get(self._when, ())
        else:  # the first scoring after a task: its end is in a checkpoint, the boundary behind it
            here = self._trained and self._when == "at-boundary"
        if here:
            os.kill(os.getpid(), signal.SIGKILL)


def differences(undisturbed: RunFolder, resumed: RunFolder) -> str | None:
    """Return in a line how two runs differ that should be the same bit by bit; None where they do not."""
    ours, theirs = _log(undisturbed), _log(resumed)
    for mine, other in zip(ours, theirs, strict=False):
        if mine != other:
            keys = [key for key in mine if mine[key] != other.get(key)]
            key = next((key for key in ("loss", "terms") if key in keys), keys[0] if keys else "")
            return (
                f"from {mine['task']} step {mine['step']} on they differ: {key} {mine.get(key)} undisturbed, "
                f"{other.get(key)} resumed"
            )
    if len(ours) != len(theirs):
        return f"the undisturbed run logged {len(ours)} lines, the resumed one {len(theirs)}"
    if undisturbed.trained_file.read_bytes() != resumed.trained_file.read_bytes():
        return "the trained tensors differ"
    records = [json.loads((folder.path / RECORD).read_text(encoding="utf-8")) for folder in (undisturbed, resumed)]
    return None if records[0]["scores"] == records[1]["scores"] else "the scores differ"


def _log(folder: RunFolder) -> list[dict[str, Any]]:
    lines = (folder.path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def losses(folder: RunFolder) -> dict[str, list[float]]:
    """Return the cross-entropy of each step, by task."""
    found: dict[str, list[float]] = {}
    for line in _log(folder):
        if "loss" in line:
            found.setdefault(line["task"], []).append(line["loss"])
    return found


def _victim(folder: Path, plugin: Path, results: str, when: When, ours: Connection) -> None:
    """Be the process that is killed; what keeps it from getting there is said in a line."""
    from secura_bench.methods.plugins import load_plugin

    gc.freeze()  # what was imported, at which each collection of a run would look again
    with contextlib.redirect_stderr(io.StringIO()):  # what libraries warn of was read in the undisturbed run
        try:
            load_plugin(plugin)
            plan = make_plan(load_spec(str(folder / "spec.yaml")))
            trial = Trial(folder, plugin, plan)
            do_run(trial.run, plan.inputs, trial.at(results), _Bomb(when), Stop())
            ours.send("it came to the run's end")
        except Exception as error:
            ours.send(plugin_fault(error) or in_a_line(error))
            raise SystemExit(1) from None
