"""Where rows come from: the Hub, a file, or a generator."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from secura_bench.data.example import Row
from secura_bench.data.files import read_records
from secura_bench.data.hub_files import hub_records
from secura_bench.data.tasks import Columns, FileSource, HubSource, LocalSource, TaskFile
from secura_bench.data.templates import CompiledColumns
from secura_bench.errors import DataError
from secura_bench.hub.errors import HubAwayError

DATA_VARIABLE = "SECURA_BENCH_DATA"


@dataclass(frozen=True)
class Origin:
    """Where a task's rows were taken from, for the manifest and the feet of tables.

    ``stand_in`` says what the rows stand in for, if they are not the paper's own data; ``filtered`` counts the rows of
    the source that the task file does not keep.
    """

    source: str
    revision: str | None
    licence: str
    stand_in: str | None
    filtered: int = 0


def read_rows(task: TaskFile, count: int) -> tuple[list[Row], Origin]:
    """Return all rows of ``task`` from the source this machine is set up for, in the source's order.

    A folder named by ``SECURA_BENCH_DATA`` stands in for the Hub; a task with a file of its own, or generated, needs
    neither. A generator makes ``count`` rows, the other sources return what they have.

    Raises:
        DataError: The source cannot be read, or a row of it is not usable; the message names file and line.
    """
    if task.file:
        return _file_rows(task, task.file)
    if task.generated:
        return _generated_rows(task, count)
    folder = os.environ.get(DATA_VARIABLE)
    if folder and task.local:
        return _local_rows(task, task.local, Path(folder))
    if task.hub is None:
        raise DataError(
            f"task {task.id!r} has a local source only: set {DATA_VARIABLE} to the folder that holds "
            f"{task.local.file if task.local else 'it'}."
        )
    return hub_rows(task, task.hub)


def _generated_rows(task: TaskFile, count: int) -> tuple[list[Row], Origin]:
    from secura_bench.data.generated import generate_rows

    source = task.generated
    if source is None:
        raise DataError(f"task {task.id!r} has no generator.")
    try:
        drawn = generate_rows(source.generator, count, source.seed)
    except ValueError as error:
        raise DataError(f"task {task.id!r}: {error}. Ask for fewer rows (data.rows).") from None
    columns = _GENERATED_TEXT if task.kind == "text" else _GENERATED
    records = ((f"{task.id}[{index}]", index, fields) for index, fields in enumerate(drawn))
    rows, _ = _rows(task, records, columns)
    return rows, Origin(f"generated:{source.generator}", str(task.version), task.licence, None)


def _local_rows(task: TaskFile, source: LocalSource, folder: Path) -> tuple[list[Row], Origin]:
    path = folder / source.file
    if not path.is_file():
        raise DataError(
            f"{path}: cannot be read: there is no such file. {DATA_VARIABLE} names the folder of task files"
            + (f"; without it, {task.id} is fetched from the Hub." if task.hub else ".")
        )
    first: dict[str, Any] = {}

    def records() -> Iterator[tuple[str, int, Mapping[str, Any]]]:
        for number, fields in read_records(path):
            first.update(fields if not first else {})
            yield f"{path}:{number}", number - 1, fields

    rows, filtered = _rows(task, records(), source.columns)
    fetched = str(first.get("source", ""))
    if task.hub and fetched.startswith("hub:"):  # by `data fetch`: the Hub's own rows, no stand-in for them
        place, _, revision = fetched.rpartition("@")
        return rows, Origin(place, revision, task.hub.licence or task.licence, task.hub.stand_in, filtered)
    licence = source.licence or task.licence
    return rows, Origin(f"local:{source.file}", None, licence, source.stand_in, filtered)


def _file_rows(task: TaskFile, source: FileSource) -> tuple[list[Row], Origin]:
    from secura_bench.data.files import find_columns

    path = source.path
    columns = source.columns or find_columns(path)
    records = ((f"{path}:{number}", number - 1, {**fields, "columns": fields}) for number, fields in read_records(path))
    rows, filtered = _rows(task, records, columns)
    return rows, Origin(f"file:{path.name}", None, task.licence, None, filtered)


def hub_rows(task: TaskFile, source: HubSource) -> tuple[list[Row], Origin]:
    """Return all rows of a data set of the Hub, in its order.

    Raises:
        DataError: The Hub does not give it, or a row of it is not usable.
    """
    where = f"hub:{source.path}" + (f"/{source.config}" if source.config else "")
    fetched, revision = _fetch(task, source, where)
    records = ((f"{where}[{index}]", index, fields) for index, fields in enumerate(fetched))
    rows, filtered = _rows(task, records, source.columns)
    return rows, Origin(where, revision, source.licence or task.licence, source.stand_in, filtered)


def _fetch(task: TaskFile, source: HubSource, where: str) -> tuple[Iterable[Mapping[str, Any]], str]:
    """Return the raw rows of a Hub data set, and the commit they are of."""
    try:
        return hub_records(source)
    except DataError as error:
        away = isinstance(error, HubAwayError)
        way_out = f" Without a network, set {DATA_VARIABLE} to a folder of <task>.jsonl files." if away else ""
        raise DataError(f"task {task.id!r}: {where} cannot be loaded: {error}{way_out}") from None


def _rows(
    task: TaskFile, records: Iterable[tuple[str, int, Mapping[str, Any]]], columns: Columns
) -> tuple[list[Row], int]:
    """Return the checked rows of (place, index, columns) records, and how many the task file does not keep."""
    compiled = CompiledColumns.compile(columns)
    rows: list[Row] = []
    places: dict[str, str] = {}
    filtered, place = 0, ""
    for place, index, fields in records:
        row = make_row(task.id, {**fields, "index": index}, compiled, place)
        if row is None:
            filtered += 1
            continue
        if row.id in places:
            first = places[row.id].rpartition(":")[2]
            raise DataError(f"{place}: id {row.id!r} stands there twice, first at line {first}.")
        places[row.id] = place
        rows.append(row)
    if not rows:
        left = f": all {filtered} are left out by its 'keep'" if filtered else ""
        raise DataError(f"{place or task.id}: task {task.id!r} has no rows{left}.")
    return rows, filtered


_GENERATED = Columns(
    prompt="{{ input }}", target="{{ output }}", choices="choices", answer_index="answer_index", id="id"
)
_GENERATED_TEXT = Columns(text="{{ input }}", id="id")


def make_row(task: str, fields: Mapping[str, Any], columns: CompiledColumns, where: str) -> Row | None:
    """Return one checked row, or None where the task file does not keep it; ``where`` names its place.

    Raises:
        DataError: A column is missing, a text is empty, or the right choice is not among the choices.
    """
    try:
        if not columns.keeps(fields):
            return None
        parts = columns.render(fields)
    except (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        found = ", ".join(sorted(key for key in fields if key not in ("index", "columns")))
        raise DataError(f"{where}: {error} (columns found: {found}).") from None
    choices, right = _choices(parts, where)
    prompt, target = parts.get("prompt", ""), parts.get("text", parts.get("target", right))
    if target is None:
        raise DataError(f"{where}: has neither a target nor choices.")
    named = {"text": target} if "text" in parts else {"prompt": prompt, "answer": target}
    for name, text in named.items():
        if not text.strip():
            raise DataError(f"{where}: the {name} is empty.")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise DataError(f"{where}: the {name} holds half a character (a lone surrogate).")
    own_id, group = parts.get("id"), parts.get("group")
    return Row(
        id=f"{task}-{fields.get('index', 0)}" if own_id in (None, "") else str(own_id),
        prompt=prompt,
        target=target,
        choices=choices,
        answer_index=parts.get("answer_index"),
        group=None if group is None else str(group),
    )


def _choices(parts: Mapping[str, Any], where: str) -> tuple[tuple[str, ...] | None, str | None]:
    """Return the options and the text of the right one, checked; None and None without options."""
    given, answer = parts.get("choices"), parts.get("answer_index")
    if given is None:
        if answer is not None:
            raise DataError(f"{where}: answer_index {answer!r} without choices.")
        return None, None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise DataError(f"{where}: choices must be a list, not {given!r}.")
    choices = tuple(str(choice) for choice in given)
    if len(choices) < 2:
        raise DataError(f"{where}: multiple choice needs two options at least, here {len(choices)}.")
    if not all(choice.strip() for choice in choices):
        raise DataError(f"{where}: an option is empty.")
    twice = next((choice for choice in choices if choices.count(choice) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: the option {twice!r} stands there twice.")
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise DataError(f"{where}: answer_index {answer!r} is not one of the {len(choices)} options.")
    return choices, choices[answer]
