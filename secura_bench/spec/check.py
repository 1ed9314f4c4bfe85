"""What no section can know alone: names that exist, options that fit, orders that differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel

from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.spec.checkpoint import check_checkpoint
from secura_bench.spec.each_task import by_task
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.sections import EACH_TASK, TrainSpec
from secura_bench.tasks.catalog import load_task
from secura_bench.tasks.file import NEVER_TRAINED

_OF_A_STEP = tuple(key for key in EACH_TASK if key not in ("steps", "epochs"))
"""Keys of which one step of several tasks mixed can have but one."""


def check_names(spec: ExperimentSpec, file: YamlFile) -> None:
    """Check what needs the registries: tasks, methods, options, overrides, and that runs can be told apart."""
    for key, tasks in (("tasks", lambda: spec.task_names), ("probe", lambda: spec.probe_parts)):
        with located(file, key):
            names = tasks()
            for task in spec.task_names if key == "tasks" else spec.own_parts:
                kind = load_task(task).kind
                if (what := NEVER_TRAINED.get(kind)) and key == "tasks":
                    raise SpecError(f"{task!r} is {what}: it can be a probe, and is never trained on.")
                if kind == "classify" and key == "probe":
                    raise SpecError(
                        f"{task!r} is answered by a head that training makes: it can be learned, and is no probe."
                    )
            if len(set(names)) < len(names):
                raise SpecError("a task stands here twice.")
    with located(file, "probe_rows"):
        _check_probe_rows(spec)
    with located(file, "orders"):
        _check_orders(spec)
    check_methods(spec, file)
    check_each_task(spec, file)
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
            if spec.data.held_out == "all" and METHODS.get(method.name).stream != "none":
                raise SpecError(f"{method.label!r} trains, and with data.held_out: all every row is scored.")
        file.check(options, method.options, ("methods", index))
        file.check(TrainSpec, spec.train.over(method.train), ("methods", index, "train"))
    with located(file, "methods"):
        labels = [method.label for method in spec.methods]
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise SpecError(f"two entries have one label, {twice!r}; set 'label:' on one of them.")


def check_each_task(spec: ExperimentSpec, file: YamlFile) -> None:
    """Check that what is said for each task has one value for each, of a task that there is.

    Raises:
        SpecError: Names file, line and key.
    """
    for key in EACH_TASK:
        with located(file, "train", key):
            _known(by_task(getattr(spec.train, key), spec.task_names))
        for index, method in enumerate(spec.methods):
            own = ("train", key) if key in method.train else ()
            with located(file, "methods", index, *own):
                train = TrainSpec.model_validate(spec.train.over(method.train))
                value = by_task(getattr(train, key), spec.task_names)
                _known(value)
                if isinstance(value, dict) and METHODS.get(method.name).stream == "mixed" and key in _OF_A_STEP:
                    told = "" if own else f"train.{key}: "
                    raise SpecError(
                        f"{told}{method.name} trains all tasks at once; give it one for all, in its 'train'."
                    )


def _known(value: object) -> None:
    for task in value if isinstance(value, dict) else ():
        load_task(task)


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
