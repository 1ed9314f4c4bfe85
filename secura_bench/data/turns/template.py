"""A model's chat template: one of several, its clock stopped, and what it raises said in one line."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.bounds import BoundedEnvironment, bounded

TODAY = datetime.datetime(2024, 7, 26)  # for templates that render a date: the day that Llama 3.1's falls back to
_LONGEST = 300  # characters of what a template says

Messages = Sequence[Mapping[str, str]]


class TemplateError(DataError):
    """A chat template that cannot be rendered; the message has its line and its own words."""


@dataclass(frozen=True)
class ChatTemplate:
    """The template that a tokenizer's prompts are made with.

    Attributes:
        text: its Jinja2 source. names: of all the tokenizer's templates, where it has several; ``default`` is taken.
    """

    tokenizer: Any
    text: str
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, tokenizer: Any, model: str) -> ChatTemplate | None:
        """Return the template of ``model``'s tokenizer, None where it has none.

        Raises:
            DataError: It has several by name and none is called "default", or what it has is no text.
        """
        given = tokenizer.chat_template
        if given is None:
            return None
        names: tuple[str, ...] = ()
        if isinstance(given, Mapping):
            names = tuple(map(str, given))
            if "default" not in given:
                raise DataError(
                    f"model {model!r}: its tokenizer has the chat templates {', '.join(names) or '(none)'} and none is "
                    f"called 'default'; call the one that is meant so, in the model's tokenizer files."
                )
            given = given["default"]
        if not isinstance(given, str):
            raise DataError(f"model {model!r}: its chat template is not a text but a {type(given).__name__}.")
        return cls(tokenizer, given, names)

    def render(self, messages: Messages, opened: bool = False) -> str:
        """Return what the template makes of ``messages`` on the day ``TODAY``.

        ``opened`` asks for its generation prompt behind them.

        Raises:
            TemplateError: It refuses the messages, or is no template.
        """
        return self._apply(messages, TODAY, opened, date_string=TODAY.strftime("%d %b %Y"))

    def stock(self, messages: Messages, day: datetime.datetime) -> str:
        """Return what ``apply_chat_template`` gives for generation on ``day``, and nothing but the messages.

        Raises:
            TemplateError: As ``render``.
        """
        return self._apply(messages, day, opened=True)

    def _apply(self, messages: Messages, day: datetime.datetime, opened: bool, **more: str) -> str:
        stopped = dated(self.text, day)
        try:
            with _in_bounds():
                return self.tokenizer.apply_chat_template(
                    list(messages), chat_template=stopped, tokenize=False, add_generation_prompt=opened, **more
                )
        except Exception as error:  # a template is a program: it raises what it likes
            raise TemplateError(_said(error, shifted=int(stopped != self.text))) from None


@contextmanager
def _in_bounds() -> Iterator[None]:
    """Bound what transformers makes of a template: for as long, its module's sandbox is the bounded one."""
    theirs = _theirs()
    stock = theirs.ImmutableSandboxedEnvironment
    theirs.ImmutableSandboxedEnvironment = BoundedEnvironment
    try:
        with bounded():
            yield
    finally:
        theirs.ImmutableSandboxedEnvironment = stock


@cache
def _theirs() -> Any:
    from transformers.utils import chat_template_utils

    return chat_template_utils


def dated(template: str, day: datetime.datetime = TODAY) -> str:
    """Return ``template`` with its clock stopped: a macro takes the place of transformers' ``strftime_now``.

    The line end behind the macro is one that transformers' Jinja2 settings remove.
    """
    if "strftime_now" not in template:
        return template
    codes = {f"%{code}": day.strftime(f"%{code}") for code in "aAbBdHIjmMpSyY"}
    codes |= {"%-d": str(day.day), "%-m": str(day.month)}
    filters = "".join(f" | replace({json.dumps(code)}, {json.dumps(value)})" for code, value in codes.items())
    return "{% macro strftime_now(format) %}{{ format" + filters + " }}{% endmacro %}\n" + template


def _said(error: Exception, shifted: int) -> str:
    """Return an error of a template in one line; ``shifted`` lines stand before the template's own."""
    import jinja2

    line = getattr(error, "lineno", None) or _line(error)
    words = " ".join(str(error).split())[:_LONGEST]
    kind = "" if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: "
    return f"{'it' if line is None else f'its line {line - shifted}'} says {kind + words!r}"


def _line(error: Exception) -> int | None:
    """Return the template's line at which ``error`` was raised: Jinja2 writes it into the traceback."""
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == "<template>":
            line = step.tb_lineno
        step = step.tb_next
    return line
