"""Classify: the label that a task's own classification head gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secura_bench.data.example import Example
from secura_bench.evaluation.outcome import Column, Judged
from secura_bench.evaluation.predictions import Prediction, Scored
from secura_bench.evaluation.protocols.protocol import Asked, Protocol


class Classify(Protocol):
    """The likeliest label by the task's head."""

    def scorable(self, kind: str, examples: Sequence[Example]) -> list[int]:
        """Return the positions of all rows of a task that is classified, and of nothing else."""
        return list(range(len(examples))) if kind == "classify" else []

    def reads(self, examples: Sequence[Example], window: int) -> tuple[float, float]:
        """Return the tokens of the rows; the language model's head sees none of them."""
        return sum(map(len, examples)), 0.0

    def predict(self, asked: Asked) -> Iterator[Scored]:
        """Return the label of each row, and how likely each label is."""
        from secura_bench.evaluation.predicting.classify import classify

        return classify(asked.model, asked.examples, asked.chat.pad_id, asked.batch_size, asked.known)

    def judge(self, asked: Asked, predictions: Sequence[Prediction]) -> Judged:
        """Return whether each label is the right one."""
        columns: dict[str, Column] = {
            "accuracy": [100.0 * bool(prediction.correct) for prediction in predictions],
            "loss": [prediction.loss for prediction in predictions],
        }
        labels = [prediction.text for prediction in predictions]
        return Judged(asked.examples, labels, [example.row.target for example in asked.examples], columns, {})


CLASSIFY = Classify(
    "classify",
    metrics=("accuracy",),
    learned=("accuracy",),
    meaning="the likeliest label by the task's own classification head, at the last token of the text; the head is "
    "trained with the method, and the base's is untrained",
    warning="a head of the task's own answers, trained with the method; the base's is untrained",
    no_claim="anything about what the models write, nor that anything but the head was learned: head_only is the "
    "control, the same heads on the untouched model",
    signatures={
        "accuracy": "the label of the highest logit of the task's head is the right one",
        "loss": "nats of the right label, mean of rows",
    },
    wants="tasks of kind: classify",
)
