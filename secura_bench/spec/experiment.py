"""An experiment as a typed, frozen value: what to run, on which model, and how it is scored."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_serializer

from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.schema import Part, Slug
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.probe import ProbeEntry, Suite, suites_of
from secura_bench.spec.sections import CheckpointSpec, DataSpec, EvaluateSpec, LogSpec, TrainSpec
from secura_bench.spec.types import Count, Names, Order, Seed, as_list
from secura_bench.tasks.catalog import expand


class ExperimentSpec(Part):
    """One experiment: the cross of methods, seeds and, in mode ``separate``, tasks, in mode ``sequence``, orders.

    ``experiment`` is the name of its folder of results. ``tasks`` are tasks, named lists or files of rows; ``orders``
    are ``given``, ``reversed``, ``shuffle-N`` or lists of all tasks. ``methods`` are names, or mappings with ``name``
    and options. ``train``, ``evaluate``, ``data``, ``log`` and ``checkpoint`` are sections with keys of their own.
    ``seeds`` are those of the runs: one run each of each method. ``mode: sequence`` trains the tasks one after another
    in each run; ``separate`` trains each from a fresh base. ``model`` is a preset, a Hub id or a folder. ``probe``
    (tasks or named lists) measures knowledge that was there before; ``lm_eval:NAME``, or a mapping with ``lm_eval`` and
    settings, is a task of lm-evaluation-harness. ``probe_rows`` are spread equally over the parts that are the bench's
    own (unset: 500, or what a smaller probe has). ``keep`` says which trained results stay in the run's folder, to be
    exported: adapters, whole models too, or none. ``threads`` is the number of CPU threads a run uses (all cores if
    unset); it is part of a run's identity, since sums depend on it.
    """

    experiment: Slug
    mode: Literal["sequence", "separate"]
    model: Annotated[str, StringConstraints(min_length=1)]
    tasks: Names
    orders: Annotated[tuple[Order, ...], BeforeValidator(as_list), Field(min_length=1)] = ("given",)
    probe: Annotated[tuple[ProbeEntry, ...], BeforeValidator(as_list), Field(min_length=1)] = ("f_task",)
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

    @field_serializer("probe")
    def _as_written(self, probe: tuple[ProbeEntry, ...]) -> Any:
        """Return the probe as people write it: of one entry that entry."""
        entries = [e if isinstance(e, str) else e.model_dump(mode="json", exclude_none=True) for e in probe]
        return entries[0] if len(entries) == 1 else entries

    @property
    def probe_name(self) -> str:
        """What the whole probe is called."""
        own = [entry for entry in self.probe if isinstance(entry, str) and not [*suites_of(entry)]]
        return " + ".join([*own, *(suite.part for suite in self.suites)])

    @property
    def own_parts(self) -> tuple[str, ...]:
        """The tasks of the bench that the probe is made of."""
        return expand(tuple(entry for entry in self.probe if isinstance(entry, str) and not [*suites_of(entry)]))

    @property
    def suites(self) -> tuple[Suite, ...]:
        """The parts of the probe that are lm-evaluation-harness's."""
        return tuple(suite for entry in self.probe for suite in suites_of(entry))

    @property
    def probe_parts(self) -> tuple[str, ...]:
        """All parts of the probe, those of the harness behind the others."""
        return (*self.own_parts, *(suite.part for suite in self.suites))

    @property
    def protocols(self) -> tuple[str, ...]:
        """The ways to score: those of ``evaluate``, and the harness's where it has a part of the probe."""
        return tuple(dict.fromkeys([*self.evaluate.protocols, *(["lm_eval"] if self.suites else [])]))

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
