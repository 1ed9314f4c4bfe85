"""The phases of a run, in order, and how much work they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from secura_bench.checkpoints.find import Checkpoint
from secura_bench.data.example import Example, Task
from secura_bench.data.streams import MixedStream, RowStream
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.methods.method import Method
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.results.record import MIXED
from secura_bench.spec.experiment import ExperimentSpec

T = TypeVar("T")

TRAINED_ROW = 2.5
"""Expected time of training on a row, relative to a teacher-forced row, for the time left that progress shows."""


def training_phases(run: Run, inputs: Inputs, method: Method) -> Iterator[tuple[Task, RowStream | MixedStream, int]]:
    """Yield each phase: what is trained, its rows, its steps. A phase is one task, or all tasks mixed."""
    sampling, rows = run.train.sampling, {name: len(inputs.tasks[name].train) for name in run.tasks}
    steps = run.steps(rows)
    if method.stream == "mixed":
        pools = [inputs.tasks[name].train for name in run.tasks]
        everything = tuple(example for pool in pools for example in pool)
        yield (
            Task(MIXED, 0, everything, 1),
            MixedStream([len(pool) for pool in pools], sampling, f"{run.seed}/mixed"),
            sum(steps),
        )
        return
    for index, name in enumerate(run.tasks):
        task = Task(name, index, inputs.tasks[name].train, len(run.tasks))
        yield task, RowStream(len(task.train), sampling, f"{run.seed}/{index}/{name}"), steps[index]


@dataclass(frozen=True)
class LoadedPhase:
    """A training phase that others did: after which task, what is scored then, and the model then.

    Of the base, which nothing was done to, ``after`` and ``checkpoint`` are None.
    """

    after: str | None
    tasks: Sequence[str]
    checkpoint: Checkpoint | None


def loaded_phases(run: Run) -> tuple[LoadedPhase, ...]:
    """Return what a run that trains nothing scores, one after another."""
    if run.loads is None:
        return (LoadedPhase(None, run.tasks, None),)
    if MIXED in run.loads.checkpoints:
        after = run.tasks[0] if len(run.tasks) == 1 else MIXED
        return (LoadedPhase(after, run.tasks, run.loads.after(MIXED)),)
    method = run.build()
    return tuple(
        LoadedPhase(task, scored_tasks(run, index, method), run.loads.after(task))
        for index, task in enumerate(run.tasks)
    )


def scored_tasks(run: Run, index: int, method: Method) -> Sequence[str]:
    """Return the tasks to score after the task number ``index``."""
    if method.stream == "mixed":
        return run.tasks
    return scored_after(run.tasks, index, run.spec.evaluate.tasks)


def scored_after(tasks: Sequence[T], index: int, which: Literal["current", "seen", "all"]) -> Sequence[T]:
    """Return those of ``tasks`` that are scored after the task number ``index``, as ``evaluate.tasks`` says."""
    return {"current": tasks[index : index + 1], "seen": tasks[: index + 1], "all": tasks}[which]


def probed_within(steps: int, every: int | None) -> int:
    """Return how many times the probe is scored within a phase of ``steps`` steps, its end not counted."""
    return (steps - 1) // every if every else 0


def work_units(run: Run, inputs: Inputs) -> int:
    """Return how much work a run is, in teacher-forced rows. Progress tells the time left by it."""
    method = run.build()
    footprint = method.footprint()
    probe = sum(_scored(run, inputs, part, rows) for part, rows in inputs.probe.items())
    own_units = {task: _scored(run, inputs, task, inputs.test[task]) for task in run.tasks}
    if not footprint.trains:
        return round(sum(probe + sum(own_units[task] for task in phase.tasks) for phase in loaded_phases(run)))
    every, once = run.spec.evaluate.every, run.spec.evaluate.probe == "last"
    units, own = probe * once, 0.0
    if not footprint.starts_as_base:
        units += probe * (not once) + sum(own_units.values())
    for task, _, steps in training_phases(run, inputs, method):
        own = sum(own_units[name] for name in scored_tasks(run, task.index, method))
        rows = run.train.batch_size * (1 + footprint.memory_rows(task.index))
        rows += footprint.extra_rows(run.train.batch_size, task.index)
        units += probe * (not once) * (1 + probed_within(steps, every)) + own + steps * rows * TRAINED_ROW
    return round(units + (probe + own) * scored_between(run.spec))  # of the last phase


def scored_between(spec: ExperimentSpec) -> int:
    """Return how many times a trained run is scored anew between the base's weights and its own."""
    return len(set(spec.evaluate.interpolate) - {1.0})


def _scored(run: Run, inputs: Inputs, task: str, rows: Sequence[Example]) -> float:
    """Return the units of scoring ``rows`` of a task by all protocols that can."""
    kind = inputs.tasks[task].file.kind
    protocols = [PROTOCOLS[name] for name in run.spec.protocols]
    return sum(protocol.row_cost * len(protocol.scorable(kind, rows)) for protocol in protocols)
