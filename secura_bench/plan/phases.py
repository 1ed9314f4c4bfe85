"""What a run consists of, in order, and how much work that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secura_bench.data.example import Example, Task
from secura_bench.data.streams import MixedStream, RowStream
from secura_bench.evaluation.predictions import answerable
from secura_bench.methods.method import Method
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.results.record import MIXED

# Expected time of one row, relative to a teacher-forced row, for the time left that progress shows.
TRAINED_ROW = 2.5
SCORED_ROW = {"teacher_forced": 1.0, "generate": 4.0, "choice": 1.5, "perplexity": 4.0}


def training_phases(run: Run, inputs: Inputs, method: Method) -> Iterator[tuple[Task, RowStream | MixedStream, int]]:
    """Yield what is trained one after another: each task for its steps, or all tasks at once for the steps of all."""
    steps, sampling = run.train.steps, run.train.sampling
    if method.stream == "mixed":
        pools = [inputs.tasks[name].train for name in run.tasks]
        everything = tuple(example for pool in pools for example in pool)
        yield (
            Task(MIXED, 0, everything, 1),
            MixedStream([len(pool) for pool in pools], sampling, f"{run.seed}/mixed"),
            steps * len(run.tasks),
        )
        return
    for index, name in enumerate(run.tasks):
        task = Task(name, index, inputs.tasks[name].train, len(run.tasks))
        yield task, RowStream(len(task.train), sampling, f"{run.seed}/{index}/{name}"), steps


def scored_tasks(run: Run, index: int, method: Method) -> tuple[str, ...]:
    """Return the tasks to score after the task number ``index``."""
    if method.stream == "mixed":
        return run.tasks
    return {"current": (run.tasks[index],), "seen": run.tasks[: index + 1], "all": run.tasks}[run.spec.evaluate.tasks]


def work_units(run: Run, inputs: Inputs) -> int:
    """Return how much work a run is, in teacher-forced rows, for the time left."""
    method = run.build()
    footprint = method.footprint()
    probe = sum(_scored(run, inputs, part, rows) for part, rows in inputs.probe.items())
    own_units = {task: _scored(run, inputs, task, inputs.test[task]) for task in run.tasks}
    everything = probe + sum(own_units.values())
    if not footprint.trains:
        return round(everything)
    every = run.spec.evaluate.every
    units = 0.0 if footprint.starts_as_base else everything
    for task, _, steps in training_phases(run, inputs, method):
        on_the_way = (steps - 1) // every if every else 0
        own = sum(own_units[name] for name in scored_tasks(run, task.index, method))
        rows = run.train.batch_size + footprint.extra_rows(run.train.batch_size, task.index)
        units += probe * (1 + on_the_way) + own + steps * rows * TRAINED_ROW
    return round(units)


def _scored(run: Run, inputs: Inputs, task: str, rows: Sequence[Example]) -> float:
    """Return the units of scoring ``rows`` of a task by all protocols that can."""
    kind = inputs.tasks[task].file.kind
    return sum(SCORED_ROW[protocol] * len(answerable(protocol, kind, rows)) for protocol in run.spec.evaluate.protocols)
