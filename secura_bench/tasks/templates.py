"""Jinja2, sandboxed, by which a source's columns become rows: the functions and filters that task files may use."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from jinja2 import StrictUndefined, TemplateError, Undefined
from jinja2.nodes import Name

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.bounds import BoundedEnvironment, bounded
from secura_bench.tasks.columns import TEMPLATES, Columns
from secura_bench.tasks.conversation import Turns
from secura_bench.tasks.values import NotTextError, as_text

Item = TypeVar("Item")

OF_TEMPLATES = (
    TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, SyntaxError,
)  # fmt: skip
"""What a task file's templates and expressions raise."""


def options(choices: Iterable[str]) -> str:
    """Render lettered options: "Options:", then "(A) ..." a line each.

    Raises:
        ValueError: More options than letters.
    """
    choices = list(choices)
    if len(choices) > 26:
        raise ValueError(f"{len(choices)} options are more than there are letters")
    lines = (f"({chr(ord('A') + i)}) {choice}" for i, choice in enumerate(choices))
    return "\n".join(["Options:", *lines])


def shuffled(items: Iterable[str]) -> list[str]:
    """Return ``items`` in a random order that they alone decide, whatever order their source lists them in."""
    order = sorted(items)
    random.Random("options/" + "\0".join(order)).shuffle(order)
    return order


def scored(choices: Sequence[Item], scores: Sequence[int]) -> list[Item]:
    """Return the choices whose score is 1: the right ones."""
    return [choice for choice, score in zip(choices, scores, strict=True) if score == 1]


def after(text: str, mark: str) -> str:
    """Return what follows the first ``mark`` in ``text``, stripped.

    Raises:
        ValueError: There is none: the source does not look as it did when the task file was written.
    """
    _, found, rest = text.partition(mark)
    if not found:
        raise ValueError(f"the text holds no {mark!r}; it begins with {text[:80]!r}")
    return rest.strip()


def before(text: str, *marks: str) -> str:
    """Return ``text`` up to the first of ``marks``, stripped; all of it where none stands there."""
    ends = [place for mark in marks if (place := text.find(mark)) >= 0]
    return text[: min(ends, default=len(text))].strip()


def starting(text: str, *marks: str) -> str:
    """Return ``text`` from where the first of ``marks`` begins, stripped.

    Raises:
        ValueError: None stands there.
    """
    starts = [place for mark in marks if (place := text.find(mark)) >= 0]
    if not starts:
        raise ValueError(f"the text holds none of {marks}; it begins with {text[:80]!r}")
    return text[min(starts) :].strip()


def single(items: Sequence[Item]) -> Sequence[Item]:
    """Return a list that holds one item.

    Raises:
        ValueError: It holds none, or more.
    """
    if len(items) != 1:
        raise ValueError(f"a list must hold one item here, and holds {len(items)}")
    return items


def present(text: str) -> str:
    """Return a table's cell as it is.

    Raises:
        NotTextError: It is what pandas writes for a missing value, "nan" or "NaN".
    """
    if text in ("nan", "NaN"):
        raise NotTextError(text, f"{text!r}, which stands for a missing value")
    return text


def names_of(fields: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return what a template sees of a record: its columns, its number ``index``, and all of them as ``columns``.

    A column of such a name is what the name means; the number or the mapping is then ``index_`` or ``columns_``.
    """
    return {own_name("index", fields): index, own_name("columns", fields): fields, **fields}


def own_name(name: str, fields: Mapping[str, Any]) -> str:
    """Return ``name`` with as many underscores behind it as leave all columns their names."""
    while name in fields:
        name += "_"
    return name


def _finalize(value: Any) -> Any:
    """Return the value of a ``{{ … }}`` as text; an empty cell is empty, not the word None."""
    return value if isinstance(value, Undefined) else as_text(value)  # Jinja2 says itself what is undefined


@cache
def _sandbox() -> BoundedEnvironment:
    environment = BoundedEnvironment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_finalize,
    )
    environment.globals = {"options": options, "shuffled": shuffled, "scored": scored}
    environment.filters |= {"after": after, "before": before, "starting": starting, "present": present}
    environment.filters |= {"options": options, "single": single}  # a column may be named as the function
    environment.tests["digits"] = lambda value: str(value).isdigit()
    return environment


@dataclass(frozen=True)
class CompiledColumns:
    """The compiled templates and expressions of ``Columns``.

    ``uses`` are the names that each template speaks of; ``turns`` says which of ``messages`` are learned.
    """

    templates: Mapping[str, Any]
    expressions: Mapping[str, Any]
    uses: Mapping[str, frozenset[str]]
    turns: Turns

    @classmethod
    def compile(cls, columns: Columns) -> CompiledColumns:
        """Compile what a task file says.

        Raises:
            DataError: It is not Jinja2, or a template speaks of no column, so that all rows would be alike.
        """
        sandbox = _sandbox()
        given = {name: text for name, text in columns.model_dump(exclude={"turns"}).items() if text is not None}
        templates: dict[str, Any] = {}
        expressions: dict[str, Any] = {}
        uses: dict[str, frozenset[str]] = {}
        for name, text in given.items():
            try:
                with bounded():
                    if name in TEMPLATES:
                        templates[name] = sandbox.from_string(text)
                        uses[name] = frozenset(used.name for used in sandbox.parse(text).find_all(Name))
                    else:
                        expressions[name] = sandbox.compile_expression(text, undefined_to_none=False)
            except OF_TEMPLATES as error:  # constants are computed already
                why = str(error).rstrip(".")
                raise DataError(f"its columns cannot be read as Jinja2: {name}: {text!r}: {why}.") from None
            if not uses.get(name, True):
                raise DataError(f"{name}: {text!r} names no column, so it is the same for every row.")
        return cls(templates, expressions, uses, columns.turns or "every")

    def keeps(self, fields: Mapping[str, Any]) -> bool:
        """Return whether a row of the source belongs to the task."""
        return "keep" not in self.expressions or bool(self._value("keep", fields))

    def render(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row's parts.

        Raises:
            ValueError: A column that a template writes is no text; the message names it. Besides, what Jinja2 raises
                on a column that is not there.
        """
        parts: dict[str, Any] = {}
        for name, template in self.templates.items():
            try:
                parts[name] = template.render(fields)
            except NotTextError as error:
                raise ValueError(
                    f"{name}: {self._holder(name, fields, error)}, not text{_way_out(error.value)}"
                ) from None
        parts |= {name: self._value(name, fields) for name in self.expressions if name != "keep"}
        return parts

    def _holder(self, name: str, fields: Mapping[str, Any], error: NotTextError) -> str:
        """Return which column holds the value that is no text, and what that value is."""
        used = {column for named in self.uses[name] for column in (named, *_all_columns(named, fields))}
        holders = sorted(column for column in used if column in fields and fields[column] is error.value)
        if not holders:
            return f"a template writes {error.why}"
        return f"the column {' or '.join(map(repr, holders))} holds {error.why}"

    def _value(self, name: str, fields: Mapping[str, Any]) -> Any:
        value = self.expressions[name](fields)
        if isinstance(value, StrictUndefined):
            value._fail_with_undefined_error()
        return value


def _all_columns(name: str, fields: Mapping[str, Any]) -> Iterable[str]:
    """Return every column where ``name`` means the mapping of them all."""
    mapping = fields.get(name)
    return mapping if name.rstrip("_") == "columns" and isinstance(mapping, Mapping) else ()


def _way_out(value: Any) -> str:
    """Return what a task file can do about a value that is no text."""
    if isinstance(value, bool):
        return "; a task file may write \"{{ 'yes' if answer else 'no' }}\""
    if isinstance(value, (list, tuple, dict)):
        return '; a task file may write a part of it, as in "{{ answer[0] }}"'
    return "; a task file's 'keep' may leave such rows out" if isinstance(value, (float, str)) else ""
