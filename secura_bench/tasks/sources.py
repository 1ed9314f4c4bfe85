"""Where rows come from: the Hub, a file, or a generator."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from secura_bench.foundation.errors import DataError
from secura_bench.hub.errors import HubAwayError
from secura_bench.tasks.bounds import bounded
from secura_bench.tasks.code import read_code
from secura_bench.tasks.columns import Columns
from secura_bench.tasks.conversation import Tally, read_conversation
from secura_bench.tasks.fetched import FetchedLine, Side, fetched_name, fetched_source
from secura_bench.tasks.file import FileSource, HubSource, LocalSource, TaskFile
from secura_bench.tasks.files.reading import open_file
from secura_bench.tasks.files.records import read_records
from secura_bench.tasks.hub_files import hub_records
from secura_bench.tasks.labels import labelled
from secura_bench.tasks.references import check_references
from secura_bench.tasks.row import Row
from secura_bench.tasks.templates import OF_TEMPLATES, CompiledColumns, names_of
from secura_bench.tasks.values import NotTextError, as_text, has_surrogate

DATA_VARIABLE = "SECURA_BENCH_DATA"


@dataclass(frozen=True)
class Origin:
    """Where a task's rows were taken from, for the manifest and the feet of tables.

    ``stand_in`` says what the rows stand in for, if they are not the paper's own data; ``filtered`` counts the rows of
    the source that the task file does not keep, and ``reading`` says how a user's own file was read.
    """

    source: str
    revision: str | None
    licence: str
    stand_in: str | None
    filtered: int = 0
    reading: str | None = None


def read_rows(task: TaskFile, count: int) -> tuple[list[Row], Origin]:
    """Return all rows of ``task`` from the source this machine is set up for, in the source's order.

    A file in the folder named by ``SECURA_BENCH_DATA`` stands in for the Hub; a task with a file of its own, or
    generated, needs neither. A generator makes ``count`` rows, the other sources return what they have.

    Raises:
        DataError: The source cannot be read, or a row of it is not usable; the message names file and line.
    """
    return _read(task, count, "train")


def read_test_rows(task: TaskFile) -> tuple[list[Row], Origin] | None:
    """Return the rows that ``task`` names to be tested on, in their order; None where its own rows are split.

    Their ids begin with ``test-``: published splits count both sides from 0.

    Raises:
        DataError: As ``read_rows``.
    """
    tested_on = task.tested_on
    if tested_on is None:
        return None
    rows, origin = _read(tested_on, 0, "test")
    return [replace(row, id=f"test-{row.id}") for row in rows], origin


def _read(task: TaskFile, count: int, side: Side) -> tuple[list[Row], Origin]:
    if task.file:
        return _file_rows(task, task.file)
    if task.generated:
        return _generated_rows(task, count)
    if folder := os.environ.get(DATA_VARIABLE):
        if not Path(folder).is_dir():
            raise DataError(f"{DATA_VARIABLE} names {folder}, which is no folder.")
        path = Path(folder) / (task.local.file if task.local else fetched_name(task.id))
        if path.is_file() and fetched_source(path):
            return _fetched_rows(task, path, side)
        if path.is_file() and task.local:
            return _local_rows(task, task.local, path)
    if task.hub is None:
        wanted = task.local.file if task.local else "it"
        there = f"there is no {wanted} in {folder}" if folder else f"{DATA_VARIABLE} is not set"
        found_at = f": {task.local.found_at}" if task.local and task.local.found_at else ""
        raise DataError(
            f"task {task.id!r} has a local source only, and {there}; the folder must hold {wanted}{found_at}."
        )
    return hub_rows(task, task.hub)


def _fetched_rows(task: TaskFile, path: Path, side: Side) -> tuple[list[Row], Origin]:
    """Return rows that ``data fetch`` wrote: the Hub's own, no stand-in for them."""
    lines = (
        (f"{path}:{place}", FetchedLine.read(fields, f"{path}:{place}")) for place, _, fields in read_records(path)
    )
    mine = [(where, line) for where, line in lines if line.side == side]
    if not mine:
        raise DataError(f"{path}: holds no {side} rows of task {task.id!r}; fetch it anew into another folder.")
    places = {line.id: where for where, line in mine}
    rows = [_row(task.id, line.parts(task.kind), where, index) for index, (where, line) in enumerate(mine)]
    rows = labelled(task, rows, places)
    check_references(task, rows, places)
    about = mine[0][1]
    place, _, revision = about.source.rpartition("@")
    stand_in = task.hub.stand_in if task.hub else None
    return rows, Origin(place, revision, about.licence, stand_in)


def _generated_rows(task: TaskFile, count: int) -> tuple[list[Row], Origin]:
    from secura_bench.tasks.generators import generate_rows

    source = task.generated
    if source is None:
        raise DataError(f"task {task.id!r} has no generator.")
    try:
        drawn = generate_rows(source.generator, count, source.seed)
    except ValueError as error:
        raise DataError(f"task {task.id!r}: {error}. Ask for fewer rows (data.rows).") from None
    columns = {"text": _GENERATED_TEXT, "code": _GENERATED_CODE}.get(task.kind, _GENERATED)
    records = ((f"{task.id}[{index}]", index, fields) for index, fields in enumerate(drawn))
    rows, _ = _rows(task, records, columns)
    return rows, Origin(f"generated:{source.generator}", str(task.version), task.licence, None)


def _local_rows(task: TaskFile, source: LocalSource, path: Path) -> tuple[list[Row], Origin]:
    records = ((f"{path}:{place}", index, fields) for place, index, fields in read_records(path))
    rows, filtered = _rows(task, records, source.columns)
    licence = source.licence or task.licence
    return rows, Origin(f"local:{source.file}", None, licence, source.stand_in, filtered)


def _file_rows(task: TaskFile, source: FileSource) -> tuple[list[Row], Origin]:
    path = source.path
    file = open_file(path, source.columns)
    if (file.columns.text is not None) != (task.kind == "text"):
        raise DataError(f"{path}: task {task.id!r} is of kind: {task.kind}, and the file is read as {file.said}.")
    records = ((f"{path}:{place}", index, fields) for place, index, fields in file.records)
    tally = Tally()
    rows, filtered = _rows(task, records, file.columns, tally)
    said = "; ".join(filter(None, (file.said, tally.said(file.columns.turns))))
    return rows, Origin(f"file:{path.name}", None, task.licence, None, filtered, said)


def hub_rows(task: TaskFile, source: HubSource) -> tuple[list[Row], Origin]:
    """Return the rows of a data set of the Hub, in its order.

    Raises:
        DataError: The Hub does not give it, or a row of it is not usable.
    """
    where = f"hub:{source.path}" + (f"/{source.config}" if source.config else "")
    fetched, revision = _fetch(task, source, where)
    records = ((f"{where}[{index}]", index, fields) for index, fields in enumerate(islice(fetched, source.first)))
    rows, filtered = _rows(task, records, source.columns)
    return rows, Origin(where, revision, source.licence or task.licence, source.stand_in, filtered)


def _fetch(task: TaskFile, source: HubSource, where: str) -> tuple[Iterable[Mapping[str, Any]], str]:
    """Return the raw rows of a Hub data set, and the commit they are of."""
    try:
        return hub_records(source)
    except DataError as error:
        folder = os.environ.get(DATA_VARIABLE)
        file = task.local.file if task.local else fetched_name(task.id)
        lacking = f" {folder} ({DATA_VARIABLE}) has no {file}." if folder else ""
        away = isinstance(error, HubAwayError) and not folder
        way_out = f" Without a network, set {DATA_VARIABLE} to a folder of <task>.jsonl files." if away else lacking
        raise DataError(f"task {task.id!r}: {where} cannot be loaded: {error}{way_out}") from None


def _rows(
    task: TaskFile,
    records: Iterable[tuple[str, int, Mapping[str, Any]]],
    columns: Columns,
    tally: Tally | None = None,
) -> tuple[list[Row], int]:
    """Return the checked rows of (place, index, columns) records, and how many the task file does not keep.

    Conversations among them are counted in ``tally``.
    """
    try:
        compiled = CompiledColumns.compile(columns)
    except DataError as error:
        raise DataError(f"task {task.id!r}: {error}") from None
    rows: list[Row] = []
    places: dict[str, str] = {}
    filtered, place = 0, ""
    for place, index, fields in records:
        made = make_rows(task.id, fields, compiled, place, index, tally)
        filtered += not made
        for row in made:
            if row.id in places:
                first = places[row.id].rpartition(":")[2]
                raise DataError(f"{place}: id {row.id!r} stands there twice, first at line {first}.")
            places[row.id] = place
        rows += made
    if not rows:
        left = f": all {filtered} are left out by its 'keep'" if filtered else ""
        raise DataError(f"{place or task.id}: task {task.id!r} has no rows{left}.")
    rows = labelled(task, rows, places)
    check_references(task, rows, places)
    return rows, filtered


_GENERATED = Columns(
    prompt="{{ input }}", target="{{ output }}", choices="choices", answer_index="answer_index", id="id"
)
_GENERATED_TEXT = Columns(text="{{ input }}", id="id")
_GENERATED_CODE = Columns(prompt="{{ input }}", target="{{ output }}", code="code", id="id")


def make_rows(
    task: str,
    fields: Mapping[str, Any],
    columns: CompiledColumns,
    where: str,
    index: int = 0,
    tally: Tally | None = None,
) -> list[Row]:
    """Return the checked rows of a record: none that the task file does not keep, and of a conversation one a turn.

    ``where`` names its place, and ``index`` is its number in its source. The rows of a conversation are one group.

    Raises:
        DataError: A column is missing, a text is empty or none, the right choice is not among the choices, or a
            conversation's turns are out of order.
    """
    try:
        with bounded():
            return _made(task, names_of(fields, index), columns, where, index, tally)
    except OF_TEMPLATES as error:
        found = ", ".join(sorted(map(str, fields)))
        raise DataError(f"{where}: {str(error) or type(error).__name__} (columns found: {found}).") from None


def _made(
    task: str, names: Mapping[str, Any], columns: CompiledColumns, where: str, index: int, tally: Tally | None
) -> list[Row]:
    if not columns.keeps(names):
        return []
    parts = columns.render(names)
    if "messages" not in parts:
        return [_row(task, parts, where, index)]
    conversation = read_conversation(parts["messages"], columns.turns)
    if tally is not None:
        tally.count(conversation)
    own_id = _own_id(task, parts, where, index)
    about = {"group": _text("group", parts.get("group"), where) or own_id}
    return [
        _row(task, {**about, **vars(answer), "id": f"{own_id}-{answer.number}"}, where, index)
        for answer in conversation.answers
    ]


def _row(task: str, parts: Mapping[str, Any], where: str, index: int) -> Row:
    """Return the checked row that ``parts`` are."""
    choices, right = _choices(parts, where)
    code, pair = read_code(parts.get("code"), where), parts.get("pair")
    prompt, target = parts.get("prompt", ""), parts.get("text", parts.get("target", "" if code else right))
    if target is None:
        raise DataError(f"{where}: has neither a target nor choices.")
    named = {"text": target} if "text" in parts else {"prompt": prompt, "answer": target}
    named |= {} if pair is None else {"pair": pair}
    if code:  # whose answer nobody has to know
        named = {"prompt": prompt, "program": code.begin, "tests": code.tests}
    for name, text in named.items():
        if not text.strip():
            raise DataError(f"{where}: the {name} is empty.")
    row = Row(
        id=_own_id(task, parts, where, index),
        prompt=prompt,
        target=target,
        choices=choices,
        answer_index=parts.get("answer_index"),
        group=_text("group", parts.get("group"), where) or None,
        history=parts.get("history", ()),
        pair=pair,
        code=code,
    )
    named |= {"id": row.id, "group": row.group or "", "option": "".join(choices or ())}
    named["history"] = "".join(text for _, text in row.history)
    for name, text in named.items():
        if has_surrogate(text):
            raise DataError(f"{where}: the {name} holds half a character (a lone surrogate).")
        if "\0" in text:
            raise DataError(f"{where}: the {name} holds a null character: is this a file of texts?")
    return row


def _own_id(task: str, parts: Mapping[str, Any], where: str, index: int) -> str:
    """Return a row's id, or one made of its task and number where it has none."""
    return _text("id", parts.get("id"), where) or f"{task}-{index}"


def _text(name: str, value: Any, where: str) -> str:
    try:
        return as_text(value)
    except NotTextError as error:
        raise DataError(f"{where}: the {name} is {error}.") from None


def _choices(parts: Mapping[str, Any], where: str) -> tuple[tuple[str, ...] | None, str | None]:
    """Return the options and the text of the right one, checked; None and None without options."""
    given, answer = parts.get("choices"), parts.get("answer_index")
    if given is None:
        if answer is not None:
            raise DataError(f"{where}: answer_index {answer!r} without choices.")
        return None, None
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        raise DataError(f"{where}: choices must be a list, not {given!r}.")
    choices = tuple(_text("option", choice, where) for choice in given)
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
