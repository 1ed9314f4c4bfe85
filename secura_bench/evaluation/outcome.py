"""What comes of scoring: every item's scores by metric, and the scores of the whole."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secura_bench.data.example import Example
    from secura_bench.evaluation.predictions import Prediction
    from secura_bench.evaluation.user_metrics import UserMetric

Column = Sequence[float | None]
"""A metric's score of each item, in percent but for ``loss`` (nats) and ``tokens``; None where it says nothing."""


@dataclass(frozen=True)
class Judged:
    """What a protocol finds of the items, one entry each.

    Attributes:
        examples: the items, as they were compared with. extracted: the answer read from what was written, or None.
        references: the text that the prediction's is compared with: as it comes back from its tokens.
        columns: scores by metric.
        signatures: what exactly a metric is, where that depends on the task. The others stand in
            ``Protocol.signatures``.
    """

    examples: Sequence[Example]
    extracted: Sequence[str | None]
    references: Sequence[str]
    columns: Mapping[str, Column]
    signatures: Mapping[str, str]


@dataclass(frozen=True)
class Evaluation(Judged):
    """The outcome of one protocol on one task, or on several pooled.

    Attributes:
        protocol: its name. task: a task or the name of the pool.
        predictions: one each an item.
        scores: the whole's scores: means of the columns over the items that have one, and corpus metrics.
        n: how many items the protocol scored.
        metrics: the user's own, that the whole is scored by.
        tokenizers: by which BLEU and ROUGE take texts apart: one, of several tasks pooled as many as they have.
    """

    protocol: str
    task: str
    predictions: Sequence[Prediction]
    scores: Mapping[str, float]
    n: int
    metrics: Sequence[UserMetric] = ()
    tokenizers: tuple[str | None, ...] = (None,)

    @property
    def constant_answer(self) -> str | None:
        """The label that a classification head gives to every row, where it gives one to all; None elsewhere."""
        labels = {prediction.text for prediction in self.predictions}
        return labels.pop() if self.protocol == "classify" and len(labels) == 1 and self.n > 1 else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Say which programs were not run, and how many rows ROUGE leaves out, if it leaves out some and not all."""
        if skipped := Counter(each.said for each in self.predictions if each.verdict == "skipped"):
            of = len(self.examples)
            return tuple(f"{self.task}: {n} of {of} programs are not run: {why}" for why, n in skipped.items())
        untold = sum(value is None for value in self.columns.get("rouge1", ()))
        if not 0 < untold < len(self.examples):
            return ()
        return (
            f"{self.task}: ROUGE leaves out {untold} of {len(self.examples)} rows, whose references hold too few words "
            f"that it sees ('tokenize' in the task file names another tokenizer)",
        )


def mean(values: Column) -> float:
    """Return the mean of the items that have a value, NaN where none has."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan
