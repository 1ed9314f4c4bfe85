"""Task files: a task is data. Every ``tasks/*.yaml`` describes one; ``tasks/lists.yaml`` names groups of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from secura_bench.foundation.errors import SpecError, unknown_name
from secura_bench.foundation.home import from_home
from secura_bench.foundation.nearest import nearest_path
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.tasks.file import FileSource, TaskFile
from secura_bench.tasks.files.formats import is_data_name, stem_of
from secura_bench.tasks.shipped import LISTS, own_task_name, read_lists, shipped_files, shipped_lists


class TaskCatalog:
    """The tasks and named lists that a command knows: those that ship, and the user's own.

    A user's task never replaces one that ships: records name tasks, and one name must mean one task.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the user's tasks."""
        self.files = dict(shipped_files())
        self.lists = dict(shipped_lists())
        self._own: dict[str, TaskFile] = {}

    def include(self, folders: Sequence[Path]) -> None:
        """Add the task files of ``folders``, and the lists of their ``lists.yaml``.

        Raises:
            SpecError: No such folder, no task in it, or a name that is taken.
        """
        for folder in folders:
            if not folder.is_dir():
                raise SpecError(f"--include {folder}: no such folder.{nearest_path(folder)}")
            found = {path.stem: path for path in sorted(folder.glob("*.yaml")) if path.name != LISTS}
            for name, path in found.items():
                self._check_free(name, str(path))
            self.files |= found
            own_lists = folder / LISTS
            if own_lists.is_file():
                for name, members in read_lists(own_lists, self.files).items():
                    self._check_free(name, f"{own_lists}: list {name!r}")
                    self.lists[name] = members
            elif not found:
                raise SpecError(f"--include {folder}: holds no task file (*.yaml).")

    def add_file(self, path: Path) -> str:
        """Add a file of rows as a task, and return its name (``own_task_name``).

        Raises:
            SpecError: The name is taken. DataError: The file cannot be read, or its columns say nothing.
        """
        from secura_bench.tasks.files.reading import find_layout

        name = own_task_name(path)
        layout = find_layout(path)
        kind: Literal["answers", "text"] = "text" if "text" in layout.columns else "answers"
        answer: Literal["choice", "text"] = "choice" if layout.has_choices else "text"
        source = FileSource(path=path.resolve())
        task = TaskFile(id=name, title=stem_of(path), licence="unknown", kind=kind, answer=answer, file=source)
        if self._own.get(name) != task:
            self._check_free(name, str(path))
        self._own[name] = task
        return name

    def names(self) -> list[str]:
        """Return every task's name."""
        return sorted({*self.files, *self._own})

    def load(self, name: str) -> TaskFile:
        """Return one task, read from its file and checked."""
        if name in self._own:
            return self._own[name]
        if name not in self.files:
            raise SpecError(unknown_name("task", name, [*self.names(), *self.lists]))
        return _read_task(self.files[name])

    def expand(self, names: str | tuple[str, ...]) -> tuple[str, ...]:
        """Return the task names that a task, a named list, or a list of both stands for, in order."""
        tasks: list[str] = []
        for name in (names,) if isinstance(names, str) else names:
            tasks.extend(self.lists.get(name, (name,)))
        for name in tasks:
            if name not in self.files and name not in self._own:
                raise SpecError(unknown_name("task", name, [*self.names(), *self.lists]))
        return tuple(tasks)

    def _check_free(self, name: str, where: str) -> None:
        if name in self.files or name in self.lists or name in self._own:
            what = "list" if name in self.lists else "task"
            raise SpecError(f"{where}: there is a {what} named {name!r} already; give this one another name.")


@cache
def _read_task(path: Path) -> TaskFile:
    file = YamlFile.read(path)
    task = file.validate_as(TaskFile)
    if task.id != path.stem:
        raise file.error(("id",), f"{task.id!r} is not the file's name, {path.stem!r}")
    return _anchored(task, path.parent)


def _anchored(task: TaskFile, folder: Path) -> TaskFile:
    """Return ``task`` with its files' relative paths starting at ``folder``."""

    def anchored(source: FileSource | None) -> FileSource | None:
        return source and source.model_copy(update={"path": (folder / source.path).resolve()})

    test = task.test and task.test.model_copy(update={"file": anchored(task.test.file)})
    return task.model_copy(update={"file": anchored(task.file), "test": test})


CATALOG = TaskCatalog()
"""What this process knows. A command adds the user's tasks to it and resets it at its end."""


def task_files() -> dict[str, Path]:
    """Return the path of every task file by task name."""
    return CATALOG.files


def task_lists() -> dict[str, tuple[str, ...]]:
    """Return the named lists of tasks, in their order."""
    return CATALOG.lists


def load_task(name: str) -> TaskFile:
    """Read and check one task file.

    Raises:
        SpecError: No such task, or its file does not describe one.
    """
    return CATALOG.load(name)


def is_data_file(name: str) -> bool:
    """Return whether ``name`` means a file of rows, and not a task or a list."""
    return is_data_name(name)


def find_data_file(name: str, *folders: Path) -> Path:
    """Return the file that ``name`` means: relative to one of ``folders``, then to the working directory.

    Raises:
        SpecError: It is in none of them.
    """
    places = dict.fromkeys(folder / from_home(name) for folder in (*folders, Path()))
    for place in places:
        if place.is_file():
            return place
        if place.exists():
            raise SpecError(f"{place}: is {'a folder' if place.is_dir() else 'no regular file'}, not a file of rows.")
    hint = next(filter(None, (nearest_path(place, (place.suffix,)) for place in places)), "")
    looked = "" if list(map(str, places)) == [name] else f", looked for as {' and '.join(map(str, places))}"
    raise SpecError(f"{name}: no such file{looked}.{hint}")


def expand(names: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the task names that a task, a named list, or a list of both stands for, in order."""
    return CATALOG.expand(names)
