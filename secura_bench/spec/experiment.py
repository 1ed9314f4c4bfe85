"""An experiment as a typed, frozen value: what to run, on which model, and how it is scored."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.schema import Part, Slug
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.sections import CheckpointSpec, DataSpec, EvaluateSpec, LogSpec, TrainSpec
from secura_bench.spec.types import Count, Names, Order, Seed, as_list
from secura_bench.tasks.catalog import expand


class ExperimentSpec(Part):
    """One experiment: the cross of methods, seeds and, in mode ``separate``, tasks, in mode ``sequence``, orders.

    ``experiment`` is the name of its folder of results. ``tasks`` are tasks, named lists or files of rows; ``orders``
    are ``given``, ``reversed``, ``shuffle-N`` or lists of all tasks. ``methods`` are names, or mappings with ``name``
    and options. ``train``, ``evaluate``, ``data``, ``log`` and ``checkpoint`` are sections with keys of their own.
    ``seeds`` are those of the runs: one run each of each method. ``mode: sequence`` trains the tasks one after another
    in each run; ``separate`` trains each from a fresh base. ``model`` is a preset, a Hub id or a folder. ``probe`` (a
    task or a named list) measures knowledge that was there before; ``probe_rows`` are spread equally over its parts
    (unset: 500, or what a smaller probe has). ``keep`` says which trained results stay in the run's folder, to be
    exported: adapters, whole models too, or none. ``threads`` is the number of CPU threads a run uses (all cores if
    unset); it is part of a run's identity, since sums depend on it.
    """

    experiment: Slug
    mode: Literal["sequence", "separate"]
    model: Annotated[str, StringConstraints(min_length=1)]
    tasks: Names
    orders: Annotated[tuple[Order, ...], BeforeValidator(as_list), Field(min_length=1)] = ("given",)
    probe: Annotated[str, StringConstraints(min_length=1)] = "f_task"
    probe_rows: Count | None = None
    methods: Annotated[tuple[MethodSpec, ...], BeforeValidator(as_list), Field(min_length=1)]
    train: TrainSpec = TrainSpec()
    evaluate: EvaluateSpec = EvaluateSpec()
    data: DataSpec = DataSpec()
    log: LogSpec = LogSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()
    keep: Literal["adapters", "all", "nothing"] = "adapters"
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(as_list), Field(min_length=1)] = (114514,)
    threads: Count | None = None

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
