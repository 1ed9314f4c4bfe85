"""What no section can know alone: names that exist, options that fit, orders that differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel

from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.spec.checkpoint import check_checkpoint
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.sections import TrainSpec
from secura_bench.tasks.catalog import load_task


def check_names(spec: ExperimentSpec, file: YamlFile) -> None:
    """Check what needs the registries: tasks, methods, options, overrides, and that runs can be told apart."""
    for key, tasks in (("tasks", lambda: spec.task_names), ("probe", lambda: spec.probe_parts)):
        with located(file, key):
            names = tasks()
            for task in spec.task_names if key == "tasks" else spec.own_parts:
                if (kind := load_task(task).kind) != "answers" and key == "tasks":
                    what = {"text": "plain text", "code": "programs that are run"}[kind]
                    raise SpecError(f"{task!r} is {what}: it can be a probe, and is never trained on.")
            if len(set(names)) < len(names):
                raise SpecError("a task stands here twice.")
    with located(file, "probe_rows"):
        _check_probe_rows(spec)
    with located(file, "orders"):
        _check_orders(spec)
    check_methods(spec, file)
    for index, method in enumerate(spec.methods):
        with located(file, "methods", index):
            check_checkpoint(method, spec)
    with located(file, "seeds"):
        if len(set(spec.seeds)) < len(spec.seeds):
            raise SpecError("a seed stands here twice.")


def check_methods(spec: ExperimentSpec, file: YamlFile) -> None:
    """Check the methods' names, options and overrides, and that they can be told apart."""
    for index, method in enumerate(spec.methods):
        with located(file, "methods", index):
            options: type[BaseModel] = METHODS.get(method.name).Options
        file.check(options, method.options, ("methods", index))
        file.check(TrainSpec, {**spec.train.model_dump(), **method.train}, ("methods", index, "train"))
    with located(file, "methods"):
        labels = [method.label for method in spec.methods]
        if len(set(labels)) < len(labels):
            raise SpecError("two entries have one label; set 'label:' on one of them.")


def _check_probe_rows(spec: ExperimentSpec) -> None:
    if spec.probe_rows is None:
        return
    if not spec.own_parts:
        raise SpecError(
            f"{spec.probe_rows} is for tasks of the bench, and the probe has none: 'limit' beside 'lm_eval' caps items."
        )
    if spec.probe_rows < len(spec.own_parts):
        parts = ", ".join(spec.own_parts)
        raise SpecError(f"{spec.probe_rows} leaves a part of the probe without a row; at least one each of {parts}.")


def _check_orders(spec: ExperimentSpec) -> None:
    if spec.mode == "separate" and spec.orders != ("given",):
        raise SpecError("mode: separate trains each task alone, so there is no order.")
    ordered = [spec.ordered(order) for order in spec.orders]
    for tasks in ordered:
        if sorted(tasks) != sorted(spec.task_names):
            raise SpecError(f"{', '.join(tasks)}: must be all tasks, each once: {', '.join(spec.task_names)}.")
    if len(set(ordered)) < len(ordered):
        raise SpecError("two orders come to the same sequence of tasks.")


@contextmanager
def located(file: YamlFile, *key: str | int) -> Iterator[None]:
    """Name the file, line and key in an error that knows none."""
    try:
        yield
    except SpecError as error:
        raise file.error(key, str(error)) from None
