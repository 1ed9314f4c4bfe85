"""An experiment as a typed, frozen value: what to run, on which model, and how it is scored."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_serializer

from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.schema import Explained, Slug
from secura_bench.spec.loading import LoadSpec
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.probe import ProbeEntry, Suite, suites_of
from secura_bench.spec.sections import CheckpointSpec, DataSpec, EvaluateSpec, LogSpec, TrainSpec
from secura_bench.spec.tune import TuneSpec
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

    model_load: LoadSpec | None = None
    """How the model is loaded: in how many bits its weights are held, and what computes attention."""

    tasks: Names
    """What is trained on: tasks, named lists or files of rows."""

    orders: Annotated[tuple[Order, ...], BeforeValidator(as_list), Field(min_length=1)] = ("given",)
    """The orders in which a sequence has the tasks: ``given``, ``reversed``, ``shuffle-N`` or lists of all tasks."""

    probe: Annotated[tuple[ProbeEntry, ...], BeforeValidator(as_list), Field(min_length=1)] = ("f_task",)
    """What measures the knowledge that was there before: tasks, named lists or files of rows, and tasks of
    lm-evaluation-harness, as ``lm_eval:NAME`` or a mapping with ``lm_eval`` and settings."""

    probe_rows: Count | None = None
    """How many rows the probe has, spread equally over the parts that are the bench's own; unset: 500, or what a
    smaller probe has."""

    methods: Annotated[tuple[MethodSpec, ...], BeforeValidator(as_list), Field(min_length=1)]
    """The methods: names, or mappings with ``name`` and options. The base model is scored beside them, named or not."""

    train: TrainSpec = TrainSpec()
    """How every task is trained."""

    tune: TuneSpec | None = None
    """How the methods' settings are chosen before the experiment's runs; unset: they are as they stand here."""

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
    def load(self) -> LoadSpec:
        """How the model is loaded, where nothing is said too."""
        return self.model_load or LoadSpec()

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
        """Return ``train`` with the method's overrides, lists by task.

        Raises:
            SpecError: A key has not one value for each task; names the key.
        """
        return TrainSpec.model_validate(self.train.over(method.train)).for_tasks(self.task_names)


def _sequence_name(tasks: Sequence[str], order: str | tuple[str, ...] = "given") -> str:
    """Return a name for a sequence of tasks, fit for a folder: ``16-tasks-reversed``."""
    name = tasks[0] if len(tasks) == 1 else f"{len(tasks)}-tasks"
    if isinstance(order, tuple):
        return f"{name}-order-{zlib.crc32(' '.join(order).encode()):08x}"
    return name if order == "given" else f"{name}-{order}"
