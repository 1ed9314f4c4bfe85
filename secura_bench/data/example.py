"""What flows from a task file to a model: rows of text, examples of token ids, tasks of examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One item of a task as text, before any tokenizer has seen it.

    ``choices`` and ``answer_index`` (0-based) are set for multiple choice and None otherwise; rows of one
    ``group`` (a shared paragraph, say) never lie on both sides of a split. ``history`` is what was said before the
    prompt, (role, text) a turn: a conversation so far, or worked examples; a ``system`` turn at its head is the
    row's own system message.
    """

    id: str
    prompt: str
    target: str
    choices: tuple[str, ...] | None = None
    answer_index: int | None = None
    group: str | None = None
    history: tuple[tuple[str, str], ...] = ()

    @property
    def asked(self) -> str:
        """What makes two rows one question: the prompt (of plain text, the text), with what was said before it."""
        return json.dumps([*self.history, ("user", self.prompt)]) if self.history else self.prompt or self.target

    @property
    def texts(self) -> tuple[str, ...]:
        """Whatever of the row a tokenizer reads."""
        return (*(text for _, text in self.history), self.prompt, self.target, *(self.choices or ()))


@dataclass(frozen=True)
class Example:
    """One row as token ids, unpadded: what a replay buffer stores.

    ``prompt_ids`` end where the assistant begins to speak; ``answer_ids`` are the answer and its end-of-turn
    token, the only ones with a loss. ``weight`` multiplies the loss of each of its tokens in a training step;
    ``replayed`` marks a row that comes from a buffer.
    """

    task: str
    row: Row
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    weight: float = 1.0
    replayed: bool = False

    @property
    def supervised(self) -> int:
        """Number of tokens with a loss."""
        return len(self.answer_ids)

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.answer_ids)


@dataclass(frozen=True)
class Task:
    """A task as a method sees it at its boundaries: where it stands among ``count`` tasks, and its training examples.

    A run of one task has no boundary: adapters merge nothing there.
    """

    name: str
    index: int
    train: Sequence[Example]
    count: int = 1
