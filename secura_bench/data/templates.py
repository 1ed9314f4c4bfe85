"""Jinja2, sandboxed, by which a source's columns become rows: the functions and filters that task files may use."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from secura_bench.data.tasks import Columns
from secura_bench.errors import DataError

Item = TypeVar("Item")


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


def plain(value: Any) -> str:
    """Return a cell as text; None is empty.

    Raises:
        ValueError: It is a list or a mapping: not one text.
    """
    if isinstance(value, (list, tuple, dict)):
        raise ValueError(f"a column holds a {type(value).__name__}, not text: {str(value)[:60]}")
    return "" if value is None else str(value)


@cache
def _sandbox() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=lambda value: "" if value is None else value,  # an empty cell is empty, not the word None
    )
    environment.globals = {"options": options, "shuffled": shuffled, "scored": scored}
    environment.filters |= {"after": after, "before": before, "starting": starting, "plain": plain}
    environment.tests["digits"] = lambda value: str(value).isdigit()
    return environment


@dataclass(frozen=True)
class CompiledColumns:
    """The compiled templates and expressions of ``Columns``."""

    templates: Mapping[str, Any]
    expressions: Mapping[str, Any]

    @classmethod
    def compile(cls, columns: Columns) -> CompiledColumns:
        """Compile what a task file says.

        Raises:
            DataError: It is not Jinja2.
        """
        sandbox = _sandbox()
        given = {name: text for name, text in columns.model_dump().items() if text is not None}
        templates = ("prompt", "target", "text")
        try:
            return cls(
                {name: sandbox.from_string(text) for name, text in given.items() if name in templates},
                {
                    name: sandbox.compile_expression(text, undefined_to_none=False)
                    for name, text in given.items()
                    if name not in templates
                },
            )
        except TemplateError as error:
            raise DataError(f"a task's columns cannot be read as Jinja2: {error}.") from None

    def keeps(self, fields: Mapping[str, Any]) -> bool:
        """Return whether a row of the source belongs to the task."""
        return "keep" not in self.expressions or bool(self._value("keep", fields))

    def render(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row's parts; raises what Jinja2 raises on a column that is not there."""
        parts: dict[str, Any] = {name: template.render(fields) for name, template in self.templates.items()}
        parts |= {name: self._value(name, fields) for name in self.expressions if name != "keep"}
        return parts

    def _value(self, name: str, fields: Mapping[str, Any]) -> Any:
        value = self.expressions[name](**fields)
        if isinstance(value, StrictUndefined):
            value._fail_with_undefined_error()
        return value
