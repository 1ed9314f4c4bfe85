"""The names that the shipped tasks and lists take."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from secura_bench.foundation.errors import unknown_name
from secura_bench.foundation.resources import shipped
from secura_bench.foundation.schema import slug
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.tasks.files.formats import stem_of

LISTS = "lists.yaml"


@cache
def shipped_files() -> dict[str, Path]:
    """Return the path of every shipped task by name."""
    return {path.stem: path for path in sorted(shipped("tasks").glob("*.yaml")) if path.name != LISTS}


@cache
def shipped_lists() -> dict[str, tuple[str, ...]]:
    """Return the shipped lists of tasks by name."""
    return read_lists(shipped("tasks") / LISTS, shipped_files())


def read_lists(path: Path, known: dict[str, Path]) -> dict[str, tuple[str, ...]]:
    """Read a file of named lists of the tasks that are ``known``."""
    file = YamlFile.read(path)
    for name, members in file.data.items():
        if not isinstance(members, list) or not members:
            raise file.error((name,), "must be a list of tasks.")
        for index, member in enumerate(members):
            if member not in known:
                raise file.error((name, index), unknown_name("task", member, known))
    return {name: tuple(members) for name, members in file.data.items()}


def own_task_name(path: Path) -> str:
    """Return the name of the task that a file of rows is: its stem made a slug.

    Where a task or a list that ships has that name, "-file" stands behind: ``alpaca.jsonl`` is ``alpaca-file``.
    """
    name = slug(stem_of(path), "task")
    return f"{name}-file" if name in shipped_files() or name in shipped_lists() else name
