"""What a way of scoring is: its name and metrics, what it can score, how it asks a model, what it makes of answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from secura_bench.evaluation.metrics import Metric, metric
from secura_bench.evaluation.outcome import Evaluation, Judged, mean
from secura_bench.evaluation.predictions import TOGETHER, Prediction, Scored, long_first

if TYPE_CHECKING:
    from torch import nn

    from secura_bench.data.chat import ChatFormat
    from secura_bench.data.example import Example
    from secura_bench.tasks.file import TaskFile


@dataclass(frozen=True)
class Asked:
    """What a model is asked: all that a protocol's predictions depend on.

    ``context`` is the longest window in tokens. ``known`` are the predictions that are there already, by position.
    ``why_not`` says of each language why its programs are not run, "" where they are (``execution.ready``); None where
    nobody allowed any. ``company`` says whether what stands beside a row in a batch may move its numbers. ``write``
    is what writes texts in the model's place; None where the model does: ``written``.
    """

    model: nn.Module
    file: TaskFile
    examples: Sequence[Example]
    chat: ChatFormat
    batch_size: int
    context: int
    known: Mapping[int, Prediction]
    why_not: Mapping[str, str] | None = None
    company: bool = True
    write: Write | None = None

    @property
    def answered_together(self) -> int:
        """How many rows are in one another's company while answers to them are written."""
        return self.batch_size if self.company else self.batch_size * TOGETHER


Write = Callable[[Asked, "Sequence[Example]", Collection[int]], Iterator[Scored]]
"""Writes greedy answers to examples, but for those at the positions that are known, batch by batch."""


def written(asked: Asked, examples: Sequence[Example], known: Collection[int]) -> Iterator[Scored]:
    """Yield what is written to ``examples`` of those asked, up to an end of turn or the task's ``max_new_tokens``."""
    if asked.write is not None:
        return asked.write(asked, examples, known)
    from secura_bench.evaluation.predicting.generate import generate

    tokens, replaces = asked.file.max_new_tokens, not asked.company
    return generate(asked.model, examples, asked.chat, asked.batch_size, tokens, known, replaces)


@dataclass(frozen=True)
class Protocol:
    """A way of scoring. A report may find one in a record that this version does not know: it has a name alone.

    Attributes:
        metrics: shown of the probe; the first speaks for the protocol. learned: shown of the trained tasks.
        meaning: what a reader must know of it. warning: of that what misleads who does not know it.
        no_claim: what its scores do not show, the end of a sentence.
        signatures: what exactly a metric is, where it is the same of every task.
        wants: what it can score, in words.
        row_cost: the expected time of one row, relative to a teacher-forced one.
        generates: whether it writes answers, of ``max_new_tokens`` at most.
    """

    id: str
    metrics: tuple[str, ...]
    learned: tuple[str, ...]
    meaning: str
    warning: str = ""
    no_claim: str = ""
    signatures: Mapping[str, str] = field(default_factory=dict, hash=False)
    wants: str = "prompts with answers"
    row_cost: float = 1.0
    generates: bool = False

    @property
    def heading(self) -> str:
        """The name in titles."""
        return self.id.replace("_", "-")

    @property
    def main(self) -> Metric:
        """The metric that speaks for the protocol: retention and continual metrics are computed from it."""
        return metric(self.metrics[0])

    def scorable(self, kind: str, examples: Sequence[Example]) -> list[int]:
        """Return the positions of the examples, of a task of this kind, that the protocol can score."""
        return list(range(len(examples))) if kind == "answers" else []

    def reads(self, examples: Sequence[Example], window: int) -> tuple[float, float]:
        """Return how many tokens of examples go through a model's layers, and how many positions through its head.

        Both as often as ``row_cost`` says; of plain text ``window`` tokens are read at once.
        """
        tokens, positions = (sum(map(count, examples)) for count in (len, lambda example: example.supervised))
        return self.row_cost * tokens, self.row_cost * positions

    def predict(self, asked: Asked) -> Iterator[Scored]:
        """Return the predictions, batch by batch, in an order that depends on nothing but what is asked."""
        raise NotImplementedError(f"{self.id} asks no model")

    def length(self, example: Example) -> int:
        """Return the tokens by which examples come into batches."""
        return len(example)

    def batches(self, asked: Asked) -> list[list[int]]:
        """Return the batches in which ``predict`` asks what is not known: what several processes deal out.

        What is in none of them, the first process asks. A batch that ``predict`` makes otherwise is asked by each
        process that has a part of it: that takes time, and changes no number.
        """
        among = self.scorable(asked.file.kind, asked.examples)
        size = asked.answered_together if self.generates else asked.batch_size
        return list(long_first(asked.examples, size, asked.known, among, self.length))

    def complete(self, asked: Asked, batch: Scored) -> Scored:
        """Return a batch of ``predict``'s with what is found out without the model; by one process for all."""
        return batch

    def judge(self, asked: Asked, predictions: Sequence[Prediction]) -> Judged:
        """Return what the protocol finds of each example. An example that was not scored has an empty prediction."""
        raise NotImplementedError(f"{self.id} judges no answers")

    def whole(self, items: Evaluation) -> tuple[dict[str, float], dict[str, str]]:
        """Return the scores of all items together, and the signatures of their metrics."""
        return {name: mean(values) for name, values in items.columns.items()}, dict(self.signatures)
