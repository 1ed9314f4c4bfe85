"""An experiment as a typed, frozen value: what to run, on which model, and how it is scored."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.schema import Explained, Slug
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.sections import CheckpointSpec, DataSpec, EvaluateSpec, LogSpec, TrainSpec
from secura_bench.spec.types import Count, Names, Order, Seed, as_list
from secura_bench.tasks.catalog import expand


class ExperimentSpec(Explained):
    """One experiment: the cross of methods, seeds and, in mode ``separate``, tasks, in mode ``sequence``, orders."""

    experiment: Slug
    """The name of the experiment, and of its folder of results."""

    mode: Literal["sequence", "separate"]
    """How tasks follow each other: ``sequence`` trains one after another in each run, ``separate`` each from a fresh
    base."""

    model: Annotated[str, StringConstraints(min_length=1)]
    """The model: a preset, a Hub id or a folder."""

    tasks: Names
    """What is trained on: tasks, named lists or files of rows."""

    orders: Annotated[tuple[Order, ...], BeforeValidator(as_list), Field(min_length=1)] = ("given",)
    """The orders in which a sequence has the tasks: ``given``, ``reversed``, ``shuffle-N`` or lists of all tasks."""

    probe: Annotated[str, StringConstraints(min_length=1)] = "f_task"
    """What measures the knowledge that was there before: a task, a named list or a file of rows."""

    probe_rows: Count | None = None
    """How many rows the probe has, spread equally over its parts; unset: 500, or what a smaller probe has."""

    methods: Annotated[tuple[MethodSpec, ...], BeforeValidator(as_list), Field(min_length=1)]
    """The methods: names, or mappings with ``name`` and options. The base model is scored beside them, named or not."""

    train: TrainSpec = TrainSpec()
    """How every task is trained."""

    evaluate: EvaluateSpec = EvaluateSpec()
    """What is scored, when, and by which protocols."""

    data: DataSpec = DataSpec()
    """How rows are drawn, split and put into prompts."""

    log: LogSpec = LogSpec()
    """What the log holds beside a line a step."""

    checkpoint: CheckpointSpec = CheckpointSpec()
    """How often an unfinished run saves its state."""

    keep: Literal["adapters", "all", "nothing"] = "adapters"
    """Which trained results stay in a run's folder, to be exported: adapters, whole models too, or none."""

    seeds: Annotated[tuple[Seed, ...], BeforeValidator(as_list), Field(min_length=1)] = (114514,)
    """The seeds: one run each of each method."""

    threads: Count | None = None
    """How many CPU threads a run uses (unset: one a core); part of a run's identity, since sums depend on it."""

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks, named lists spelled out."""
        return expand(self.tasks)

    @property
    def probe_parts(self) -> tuple[str, ...]:
        """The tasks that the probe is made of."""
        return expand(self.probe)

    def sequences(self, method: MethodSpec) -> dict[str, tuple[str, ...]]:
        """Return the task sequences that a method is run on, by the name that tells them apart."""
        if METHODS.get(method.name).stream == "mixed":
            return {_sequence_name(self.task_names): self.task_names}
        if self.mode == "separate":
            return {task: (task,) for task in self.task_names}
        return {_sequence_name(self.task_names, order): self.ordered(order) for order in self.orders}

    def ordered(self, order: str | tuple[str, ...]) -> tuple[str, ...]:
        """Return the tasks in ``order``."""
        if isinstance(order, tuple):
            return order
        tasks = list(self.task_names)
        if order == "reversed":
            tasks.reverse()
        elif order != "given":
            random.Random(order).shuffle(tasks)
        return tuple(tasks)

    def keeps(self, trainable: int, total: int) -> bool:
        """Return whether the trained result of a run stays in its folder, where so many of all parameters train."""
        return self.keep == "all" or (self.keep == "adapters" and trainable < total)

    def train_of(self, method: MethodSpec) -> TrainSpec:
        """Return ``train`` with the method's overrides."""
        return TrainSpec.model_validate({**self.train.model_dump(), **method.train})


def _sequence_name(tasks: Sequence[str], order: str | tuple[str, ...] = "given") -> str:
    """Return a name for a sequence of tasks, fit for a folder: ``16-tasks-reversed``."""
    name = tasks[0] if len(tasks) == 1 else f"{len(tasks)}-tasks"
    if isinstance(order, tuple):
        return f"{name}-order-{zlib.crc32(' '.join(order).encode()):08x}"
    return name if order == "given" else f"{name}-{order}"
