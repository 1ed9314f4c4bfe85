"""How a source's columns become rows, as a task file says it."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from secura_bench.foundation.schema import Explained

TEMPLATES = ("prompt", "pair", "target", "text")
_EXPRESSIONS = ("messages", "choices", "answer_index", "code", "id", "group", "keep")


class Columns(Explained):
    """How a source's columns become a row.

    ``prompt``, ``pair``, ``target`` and ``text`` are Jinja2 templates over the columns; the others are Jinja2
    expressions. All run in Jinja2's sandbox, with the functions and filters of ``secura_bench.tasks.templates``.
    ``index`` is the row's number in its source and ``columns`` the mapping of all its columns; where a column has such
    a name, the name means the column, and those are ``index_`` and ``columns_``.
    """

    prompt: str | None = None
    """A template of what is asked."""

    pair: str | None = None
    """A template of a second text, which stands behind the prompt as the tokenizer sets a pair; in tasks of
    ``kind: classify``."""

    target: str | None = None
    """A template of the answer; unset, it is the text of the right choice."""

    choices: str | None = None
    """An expression for the options, a list of texts."""

    answer_index: str | None = None
    """An expression for the right option's place in ``choices``, from 0."""

    code: str | None = None
    """An expression, in tasks of ``kind: code``, for what makes a program of an answer: a mapping of ``language``, of
    the code ``begin`` that goes before it and the ``tests`` behind it, and of the texts at which it is cut, a list
    ``stop``."""

    text: str | None = None
    """A template of plain text; it stands alone, in tasks of ``kind: text``."""

    messages: str | None = None
    """An expression for a conversation, which stands for prompt and target: a list of turns
    (``secura_bench.tasks.conversation``), of which every assistant turn becomes a row; rows of one conversation are one
    group."""

    turns: Literal["every", "last"] | None = None
    """Which assistant turns of ``messages`` become rows: ``every`` one, as where it is unset, or the ``last`` alone."""

    id: str | None = None
    """An expression for what tells rows apart."""

    group: str | None = None
    """An expression for the group of a row: rows of one group are never split between training and test."""

    keep: str | None = None
    """An expression: a row for which it is false is left out, and counted."""

    @field_validator(*TEMPLATES)
    @classmethod
    def _has_braces(cls, template: str | None) -> str | None:
        if template is not None and "{{" not in template and "{%" not in template:
            raise ValueError(
                f"{template!r} is a text without braces, the same for every row; a column stands in braces, as in "
                f"'{{{{ {template if template.isidentifier() else 'question'} }}}}'"
            )
        return template

    @field_validator(*_EXPRESSIONS)
    @classmethod
    def _has_no_braces(cls, expression: str | None) -> str | None:
        if expression is not None and expression.lstrip().startswith("{{"):
            bare = expression.strip().removeprefix("{{").removesuffix("}}").strip()
            raise ValueError(f"{expression!r} must be an expression, which has no braces: {bare!r}")
        return expression

    @model_validator(mode="after")
    def _says_what_is_right(self) -> Columns:
        others = (self.prompt, self.pair, self.target, self.choices, self.answer_index, self.code)
        if self.turns is not None and self.messages is None:
            raise ValueError("'turns' says which of 'messages' are learned, and goes with it")
        if self.text is not None:
            if any(said is not None for said in (*others, self.messages)):
                raise ValueError("'text' stands alone, without prompt, target, choices or messages")
            return self
        if self.messages is not None:
            if any(said is not None for said in others):
                raise ValueError("'messages' stands alone, without prompt, target or choices")
            return self
        if self.prompt is None:
            raise ValueError("there must be a 'prompt' (or 'messages', or a 'text', for a task of kind: text)")
        if (self.choices is None) != (self.answer_index is None):
            raise ValueError("'choices' and 'answer_index' go together")
        if self.target is None and self.choices is None and self.code is None:
            raise ValueError("without 'target' there must be 'choices' and 'answer_index'")
        return self
