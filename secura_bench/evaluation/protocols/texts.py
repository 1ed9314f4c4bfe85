"""What protocols share whose predictions are texts beside a reference: ROUGE, and the user's metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secura_bench.data.example import Example
from secura_bench.evaluation.outcome import Column, Evaluation
from secura_bench.evaluation.predictions import Prediction
from secura_bench.evaluation.protocols.protocol import Asked, Protocol
from secura_bench.evaluation.text_metrics import ROUGES, rouge, rouge_signature


class TextProtocol(Protocol):
    """A protocol whose predictions are texts."""

    def whole(self, items: Evaluation) -> tuple[dict[str, float], dict[str, str]]:
        """Return the scores and signatures of the whole, with ROUGE's signature and the user's metrics."""
        scores, signatures = super().whole(items)
        signatures |= dict.fromkeys(ROUGES, " or ".join(map(rouge_signature, items.tokenizers)))
        for metric in items.metrics:
            found = metric.score([prediction.text for prediction in items.predictions], items.references)
            scores |= found
            signatures |= dict.fromkeys(found, metric.signature)
        return scores, signatures


def read_back(asked: Asked) -> list[Example]:
    """Return the examples, their answers and choices as a model's own come back from its tokens.

    What a tokenizer loses is no mistake of the model's.
    """
    rows = [(example, asked.chat.read_back(example.row)) for example in asked.examples]
    return [example if row is example.row else replace(example, row=row) for example, row in rows]


def rouge_columns(
    predictions: Sequence[Prediction], references: Sequence[str], tokenize: str | None
) -> dict[str, Column]:
    """Return ROUGE of each prediction, a column a variant."""
    found = [rouge(p.text, reference, tokenize) for p, reference in zip(predictions, references, strict=True)]
    return {name: [rouges[name] for rouges in found] for name in ROUGES}
