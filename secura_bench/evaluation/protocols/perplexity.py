"""Perplexity: how well a model predicts plain text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from secura_bench.data.example import Example
from secura_bench.evaluation.outcome import Column, Evaluation, Judged
from secura_bench.evaluation.predictions import Prediction, Scored
from secura_bench.evaluation.protocols.protocol import Asked, Protocol


class Perplexity(Protocol):
    """Plain text by sliding windows."""

    def scorable(self, kind: str, examples: Sequence[Example]) -> list[int]:
        """Return the positions of all texts, and of nothing else."""
        return list(range(len(examples))) if kind == "text" else []

    def reads(self, examples: Sequence[Example], window: int) -> tuple[float, float]:
        """Return the tokens of all windows, and of these the predicted ones: each token of a text once."""
        from secura_bench.evaluation.predicting.perplexity import windows

        read = [piece for example in examples for piece in windows(example, window)]
        return sum(map(len, read)), sum(piece.supervised for piece in read)

    def predict(self, asked: Asked) -> Iterator[Scored]:
        """Return the loss of each text, in windows of ``context`` tokens, or fewer where the model reads less.

        Of a task that is one text, cut after its ``first_tokens``, all of these are one window.
        """
        from secura_bench.evaluation.predicting.perplexity import perplexity, window_of

        window = asked.file.first_tokens or window_of(asked.model, asked.context)
        return perplexity(asked.model, asked.examples, asked.chat, asked.batch_size, window, asked.known)

    def judge(self, asked: Asked, predictions: Sequence[Prediction]) -> Judged:
        """Return each text's loss and number of tokens."""
        from secura_bench.evaluation.predicting.perplexity import stride_of, window_of

        examples, whole = asked.examples, asked.file.first_tokens
        window = whole or window_of(asked.model, asked.context)
        columns: dict[str, Column] = {"loss": [p.loss for p in predictions], "tokens": [p.tokens for p in predictions]}
        has_bos = all(example.prompt_ids for example in examples)
        first = "predicted from the beginning-of-sequence token" if has_bos else "left out"
        read = f"window:{window}|stride:{stride_of(window)}"
        if whole is not None:
            read = f"the rows joined without anything between, their first {whole} tokens in one forward"
        signature = f"exp of nats a token over all tokens|{read}|first token {first}"
        references = [example.row.target for example in examples]
        return Judged(examples, [None] * len(examples), references, columns, {"perplexity": signature})

    def whole(self, items: Evaluation) -> tuple[dict[str, float], dict[str, str]]:
        """Return the scores over all tokens, whatever text they are of."""
        tokens = sum(p.tokens or 0 for p in items.predictions)
        nats = math.fsum((p.loss or 0.0) * (p.tokens or 0) for p in items.predictions)
        loss = nats / tokens if tokens else math.nan
        return {"perplexity": _exp(loss), "loss": loss, "tokens": float(tokens)}, {}


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


PERPLEXITY = Perplexity(
    "perplexity",
    metrics=("perplexity",),
    learned=("perplexity",),
    meaning="plain text by sliding windows, exp of the mean loss a token in nats; lower is better",
    warning="lower is better",
    no_claim="anything about what the models write: perplexity is of given text",
    wants="tasks of kind: text",
    row_cost=4.0,
)
