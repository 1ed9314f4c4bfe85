"""A row of a task: a prompt, an answer, choices where there are some."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """What makes a program of an answer: the text before it and the tests behind it, in a language of ``execution``.

    An answer that goes on where ``begin`` ends is cut at the first of the texts ``stop``.
    """

    language: str
    begin: str
    tests: str
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One item of a task as text, before any tokenizer has seen it.

    ``choices`` and ``answer_index`` (0-based) are set for multiple choice and None otherwise; rows of one
    ``group`` (a shared paragraph, say) never lie on both sides of a split. ``history`` is what was said before the
    prompt, (role, text) a turn: a conversation so far, or worked examples; a ``system`` turn at its head is the
    row's own system message. ``pair`` is a second text behind the prompt, of a row to be classified; ``code`` is set in
    tasks of ``kind: code``, whose answers are run.
    """

    id: str
    prompt: str
    target: str
    choices: tuple[str, ...] | None = None
    answer_index: int | None = None
    group: str | None = None
    history: tuple[tuple[str, str], ...] = ()
    pair: str | None = None
    code: Code | None = None

    @property
    def asked(self) -> str:
        """What makes two rows one question: the prompt (of plain text, the text), with what was said before it."""
        if self.pair is not None:
            return json.dumps([self.prompt, self.pair])
        return json.dumps([*self.history, ("user", self.prompt)]) if self.history else self.prompt or self.target

    @property
    def texts(self) -> tuple[str, ...]:
        """Whatever of the row a tokenizer reads."""
        pair = () if self.pair is None else (self.pair,)
        return (*(text for _, text in self.history), self.prompt, *pair, self.target, *(self.choices or ()))
