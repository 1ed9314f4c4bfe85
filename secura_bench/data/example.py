"""What flows from rows to a model: examples of token ids, tasks of examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secura_bench.tasks.row import Row


@dataclass(frozen=True)
class Example:
    """One row as token ids, unpadded: what a replay buffer stores.

    ``prompt_ids`` end where the assistant begins to speak; ``answer_ids`` are the answer and its end-of-turn
    token, the only ones with a loss. ``weight`` multiplies the loss of each of its tokens in a training step;
    ``replayed`` marks a row that comes from a buffer. ``head`` names the task whose classification head answers, None
    where the language model's own does: then the one answer id is a label's number, which no model reads.
    """

    task: str
    row: Row
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    weight: float = 1.0
    replayed: bool = False
    head: str | None = None

    @property
    def read_ids(self) -> tuple[int, ...]:
        """The token ids that a model reads."""
        return self.prompt_ids + self.answer_ids if self.head is None else self.prompt_ids

    @property
    def supervised(self) -> int:
        """Number of tokens, or labels, with a loss."""
        return len(self.answer_ids)

    def __len__(self) -> int:
        return len(self.read_ids)


@dataclass(frozen=True)
class Task:
    """A task as a method sees it at its boundaries: where it stands among ``count`` tasks, and its training examples.

    A run of one task has no boundary: adapters merge nothing there.
    """

    name: str
    index: int
    train: Sequence[Example]
    count: int = 1
