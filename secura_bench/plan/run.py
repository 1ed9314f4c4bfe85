"""A run that a spec plans."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secura_bench.foundation.home import without_home
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.models.load import model_label
from secura_bench.plan.checkpoints import Loads
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.sections import TrainSpec


@dataclass(frozen=True)
class PlannedRun:
    """A run as the spec alone tells it: one method, one sequence of tasks, one seed. It has no fingerprint yet."""

    spec: ExperimentSpec
    method: MethodSpec
    train: TrainSpec
    tasks: tuple[str, ...]
    seed: int
    threads: int
    name: str

    @property
    def address(self) -> str:
        """What names the run among all of a command's, on any machine: experiment and name, no fingerprint."""
        return f"{self.spec.experiment}/{self.name}"

    def build(self) -> Method:
        """Return the run's method, fresh."""
        return build_method(self.method.name, **self.method.options)

    def steps(self, rows: Mapping[str, int]) -> tuple[int, ...]:
        """Return how many steps each task is trained that has so many training ``rows``."""
        return tuple(self.train.steps_of(task, rows[task]) for task in self.tasks)

    def resolved(self) -> dict[str, Any]:
        """Return the run as a spec of its own: what ``spec.yaml`` in its folder says."""
        spec = self.spec.model_dump(
            mode="json", exclude={"methods", "tasks", "orders", "seeds", "train", "threads", "tune", "model_load"}
        )
        chosen = {} if self.method.tuned is None else {"tuned": self.method.tuned.told}
        entry = {**self.method.named, **_without_home(self.method.options), **chosen}
        return {
            **spec,
            "model": without_home(self.spec.model),
            **self._load(),
            "tasks": list(self.tasks),
            "methods": [entry],
            "train": self.train.model_dump(mode="json"),
            "seeds": [self.seed],
            "threads": self.threads,
        }

    def _load(self) -> dict[str, Any]:
        load = self.spec.model_load
        return {} if load is None else {"model_load": load.model_dump(mode="json", exclude_unset=True)}


@dataclass(frozen=True)
class Run(PlannedRun):
    """One run. ``folder`` is relative to the results folder; ``loads`` are the checkpoints of one that loads some."""

    fingerprint: str
    loads: Loads | None = None

    @property
    def folder(self) -> Path:
        """Where the run lives below the results folder."""
        return Path(self.spec.experiment) / f"{self.name}-{self.fingerprint}"


def threads_of(spec: ExperimentSpec) -> int:
    """Return how many threads each run of ``spec`` computes with on a CPU."""
    return spec.threads or os.cpu_count() or 1


def planned_runs(spec: ExperimentSpec) -> tuple[PlannedRun, ...]:
    """List a spec's runs, the base model first; neither the model nor data has to be here."""
    model, threads = model_label(spec.model) + spec.load.mark, threads_of(spec)
    base = MethodSpec(name="base", label="base")
    train = spec.train.for_tasks(spec.task_names)
    found = [PlannedRun(spec, base, train, spec.task_names, spec.seeds[0], threads, f"{model}-base")]
    for method in spec.methods:
        if method.is_base:
            continue
        train = spec.train_of(method)
        seeds = spec.seeds if not method.is_checkpoint else spec.seeds[:1]  # in which nothing is drawn
        for sequence, tasks in spec.sequences(method).items():
            for seed in seeds:
                name = f"{model}-{method.label}-{sequence}-s{seed}"
                found.append(PlannedRun(spec, method, train, tasks, seed, threads, name))
    return tuple(found)


def _without_home(value: Any) -> Any:
    """Return a method's options with the paths in them as ``without_home`` has them."""
    if isinstance(value, dict):
        return {key: _without_home(each) for key, each in value.items()}
    return without_home(value) if isinstance(value, str) else value
