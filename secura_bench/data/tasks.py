"""Task files: a task is data. Every ``tasks/*.yaml`` describes one; ``tasks/lists.yaml`` names groups of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from secura_bench.data.columns import Columns
from secura_bench.data.files.formats import is_data_name, stem_of
from secura_bench.errors import SpecError, unknown_name
from secura_bench.home import from_home
from secura_bench.resources import shipped
from secura_bench.schema import Part, Slug, slug
from secura_bench.yaml_file import YamlFile

LISTS = "lists.yaml"


def _compiles(pattern: str) -> str:
    from secura_bench.data.pattern import compile_pattern

    compile_pattern(pattern)
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
"""A regular expression in RE2's language, which is matched in linear time: no pattern can hang."""


def _installed(name: str) -> str:
    wanted = {"ja-mecab": ("MeCab", "sacrebleu[ja]"), "ko-mecab": ("mecab_ko", "sacrebleu[ko]")}
    module, package = wanted.get(name, ("sacrebleu", "sacrebleu"))
    if find_spec(module) is None:
        raise ValueError(f"{name!r} wants a package that is not installed: pip install '{package}'; or take 'char'")
    return name


Tokenizer = Annotated[Literal["13a", "intl", "zh", "char", "ja-mecab", "ko-mecab"], AfterValidator(_installed)]
"""A tokenizer of sacreBLEU that needs no download."""


class HubSource(Part):
    """A data set of the Hugging Face Hub whose files are parquet, JSON or CSV (no loading scripts).

    With ``files``, these files of the repository are read, by their paths or by patterns (``main/train-*.parquet``);
    of a mapping the key of each is the column ``file`` of its rows. ``revision`` is a commit where one is attested,
    else a branch; the manifest records the commit used. ``licence``, here and in the other sources, is named where it
    is not the task's.
    """

    path: str
    columns: Columns
    config: str | None = None
    split: str = "train"
    revision: str = "main"
    files: dict[str, str] | tuple[str, ...] | str | None = None
    stand_in: str | None = None
    licence: str | None = None


class LocalSource(Part):
    """A JSON-lines file in the folder ``SECURA_BENCH_DATA``; ``stand_in`` says what it stands in for, if it does."""

    file: str
    columns: Columns
    stand_in: str | None = None
    licence: str | None = None


class FileSource(Part):
    """A user's own file of rows; a relative ``path`` starts at the task file's folder.

    Without ``columns`` they are found by name (``secura_bench.data.files.layouts``).
    """

    path: Path
    columns: Columns | None = None


class GeneratedSource(Part):
    """Rows drawn by a generator of ``secura_bench.data.generated``, seeded."""

    generator: str
    seed: int = 0


class Sources(Part):
    """Where a task's rows come from; of several, see ``TaskFile``."""

    hub: HubSource | None = None
    local: LocalSource | None = None
    file: FileSource | None = None


class TaskFile(Part):
    """One task: where its rows come from, how they read, and how an answer is judged.

    ``kind`` is ``answers`` (prompts with answers) or ``text`` (plain text, for perplexity; a probe, never trained on).
    ``answer`` says how answers and references are read, by the rule in ``docs/answers.md``: ``number``, ``choice`` (a
    letter or an option's text) or ``text`` (the whole answer, white space folded). Where ``extract`` is
    given, an RE2 regular expression, only what it finds last is read: its first group, or the whole where it has none.
    ``tokenize`` names the tokenizer of sacreBLEU by which BLEU and ROUGE take texts apart; without it BLEU has ``13a``
    and ROUGE its own, which knows a to z alone: Chinese wants ``zh``, most other writing ``intl`` or ``char``.
    ``metric`` lists what the paper's Table 5 scores the task by. Of several sources ``file`` comes first, then
    ``generated``, then ``local`` where the folder ``SECURA_BENCH_DATA`` has the file, then ``hub``.
    ``test`` names rows to test on (a published test split, say): under ``hub``, ``local`` and ``file`` the keys that
    are others there than in the source of that name. Then all rows of the task's own sources are for training.
    """

    id: Slug
    title: str
    licence: str
    kind: Literal["answers", "text"] = "answers"
    answer: Literal["number", "choice", "text"] = "text"
    extract: Pattern | None = None
    metric: tuple[Literal["accuracy", "bleu", "rouge", "perplexity"], ...] = ("accuracy",)
    tokenize: Tokenizer | None = None
    max_new_tokens: int = Field(default=128, gt=0)
    hub: HubSource | None = None
    local: LocalSource | None = None
    file: FileSource | None = None
    generated: GeneratedSource | None = None
    test: Sources | None = None
    version: int = 1

    @model_validator(mode="before")
    @classmethod
    def _complete_the_test(cls, data: Any) -> Any:
        """Give each source of ``test`` what it does not say itself from the task's own."""
        test = data.get("test") if isinstance(data, dict) else None
        if not isinstance(test, dict):
            return data
        whole = {
            name: {**own, **given} if isinstance(given, dict) and isinstance(own := data.get(name), dict) else given
            for name, given in test.items()
        }
        return {**data, "test": whole}

    @model_validator(mode="after")
    def _has_a_source(self) -> TaskFile:
        if not (self.hub or self.local or self.file or self.generated):
            raise ValueError("a task needs a source: 'hub', 'local', 'file' or 'generated'")
        if self.test is not None and (self.generated or not (self.test.hub or self.test.local or self.test.file)):
            raise ValueError("'test' names a 'hub', 'local' or 'file' beside the task's own (a generator has none)")
        tests = self.test or Sources()
        for source in (self.hub, self.local, self.file, tests.hub, tests.local, tests.file):
            columns = source.columns if source else None
            if columns is not None and (columns.text is not None) != (self.kind == "text"):
                raise ValueError("the column 'text' belongs to tasks of kind: text, and those have nothing else")
        return self

    @property
    def tested_on(self) -> TaskFile | None:
        """The task whose rows are this one's test rows; None where its own rows are split."""
        if self.test is None:
            return None
        return self.model_copy(update={**dict(self.test), "test": None})


def restriction(licence: str) -> str | None:
    """Return "non-commercial" or "unknown" where a licence is that, None where it allows what a user may expect."""
    if re.search(r"unknown|no (formal )?licence|belongs? to", licence, re.IGNORECASE):
        return "unknown"
    if re.search(r"\bNC\b|non-?commercial|research use", licence, re.IGNORECASE):
        return "non-commercial"
    return None


class TaskCatalog:
    """The tasks and named lists that a command knows: those that ship, and the user's own.

    A user's task never replaces one that ships: records name tasks, and one name must mean one task.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the user's tasks."""
        self.files = dict(_shipped_files())
        self.lists = dict(_shipped_lists())
        self._own: dict[str, TaskFile] = {}

    def include(self, folders: Sequence[Path]) -> None:
        """Add the task files of ``folders``, and the lists of their ``lists.yaml``.

        Raises:
            SpecError: No such folder, no task in it, or a name that is taken.
        """
        for folder in folders:
            if not folder.is_dir():
                raise SpecError(f"--include {folder}: no such folder.")
            found = {path.stem: path for path in sorted(folder.glob("*.yaml")) if path.name != LISTS}
            for name, path in found.items():
                self._check_free(name, str(path))
            self.files |= found
            own_lists = folder / LISTS
            if own_lists.is_file():
                for name, members in _read_lists(own_lists, self.files).items():
                    self._check_free(name, f"{own_lists}: list {name!r}")
                    self.lists[name] = members
            elif not found:
                raise SpecError(f"--include {folder}: holds no task file (*.yaml).")

    def add_file(self, path: Path) -> str:
        """Add a file of rows as a task, and return its name (``own_task_name``).

        Raises:
            SpecError: The name is taken. DataError: The file cannot be read, or its columns say nothing.
        """
        from secura_bench.data.files.reading import find_layout

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
def _shipped_files() -> dict[str, Path]:
    return {path.stem: path for path in sorted(shipped("tasks").glob("*.yaml")) if path.name != LISTS}


@cache
def _shipped_lists() -> dict[str, tuple[str, ...]]:
    return _read_lists(shipped("tasks") / LISTS, _shipped_files())


def _read_lists(path: Path, known: dict[str, Path]) -> dict[str, tuple[str, ...]]:
    file = YamlFile.read(path)
    for name, members in file.data.items():
        if not isinstance(members, list) or not members:
            raise file.error((name,), "must be a list of tasks.")
        for index, member in enumerate(members):
            if member not in known:
                raise file.error((name, index), unknown_name("task", member, known))
    return {name: tuple(members) for name, members in file.data.items()}


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


def own_task_name(path: Path) -> str:
    """Return the name of the task that a file of rows is: its stem made a slug.

    Where a task or a list that ships has that name, "-file" stands behind: ``alpaca.jsonl`` is ``alpaca-file``.
    """
    name = slug(stem_of(path), "task")
    return f"{name}-file" if name in _shipped_files() or name in _shipped_lists() else name


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
    raise SpecError(f"{name}: no such file, looked for as {' and '.join(map(str, places))}.")


def expand(names: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the task names that a task, a named list, or a list of both stands for, in order."""
    return CATALOG.expand(names)
