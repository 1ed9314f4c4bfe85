"""Settings that may be another for each task: one for all, a list with one for each, or a mapping of tasks to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Discriminator, Tag

from secura_bench.foundation.errors import SpecError

T = TypeVar("T")


def _form(value: Any) -> str:
    return "<list>" if isinstance(value, (list, tuple)) else "<tasks>" if isinstance(value, dict) else "<one>"


EachTask = Annotated[
    Annotated[T, Tag("<one>")] | Annotated[tuple[T, ...], Tag("<list>")] | Annotated[dict[str, T], Tag("<tasks>")],
    Discriminator(_form),
]


def by_task(value: T | tuple[T, ...] | dict[str, T], tasks: Sequence[str]) -> T | dict[str, T]:
    """Return a setting as it stands whatever the order of tasks: by the task's name, or the one that all have.

    A list goes by ``tasks``. A mapping may name more than these: in a run of one task it is what all of the spec have.

    Raises:
        SpecError: A list has not one for each of ``tasks``, or a mapping lacks one of them.
    """
    if isinstance(value, tuple):
        check_one_each(value, len(tasks))
        value = dict(zip(tasks, value, strict=True))
    if not isinstance(value, dict):
        return value
    if missing := [task for task in tasks if task not in value]:
        raise SpecError(f"has no value for {', '.join(missing)}; give one for each task, or one for all.")
    first, *others = value.values()
    return first if all(other == first for other in others) else value


def check_one_each(values: Sequence[object], tasks: int) -> None:
    """Refuse a list of another length than there are tasks.

    Raises:
        SpecError: Says both numbers.
    """
    if len(values) != tasks:
        said = f"{len(values)} value{'s' * (len(values) != 1)} for {tasks} task{'s' * (tasks != 1)}"
        raise SpecError(f"{said}; give one for each, or one for all.")


def of_first_task(value: T | tuple[T, ...] | Mapping[str, T]) -> T:
    """Return the setting of the task that stands first."""
    return next(iter(value.values())) if isinstance(value, Mapping) else value[0] if isinstance(value, tuple) else value


def of_task(value: T | tuple[T, ...] | Mapping[str, T], task: str) -> T:
    """Return the setting of one task.

    Raises:
        SpecError: It is still a list, which is of a spec's tasks, or there is none for the task.
    """
    if isinstance(value, tuple) or (isinstance(value, Mapping) and task not in value):
        raise SpecError(f"train: has settings for each task, and none that is called {task!r}.")
    return value[task] if isinstance(value, Mapping) else value
