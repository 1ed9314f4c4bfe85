"""Choice: the likelihood of each given option, after the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secura_bench.data.example import Example
from secura_bench.evaluation.outcome import Judged
from secura_bench.evaluation.predictions import Prediction, Scored, with_choices
from secura_bench.evaluation.protocols.protocol import Asked, Protocol


class Choice(Protocol):
    """The option of the highest log-likelihood."""

    def scorable(self, kind: str, examples: Sequence[Example]) -> list[int]:
        """Return the positions of the examples with choices of which one is right."""
        return [i for i in super().scorable(kind, examples) if with_choices(examples[i])]

    def length(self, example: Example) -> int:
        """Return the tokens of the prompt."""
        return len(example.prompt_ids)

    def predict(self, asked: Asked) -> Iterator[Scored]:
        """Return the log-likelihoods of the choices."""
        from secura_bench.evaluation.predicting.choice import choice

        return choice(asked.model, asked.examples, asked.chat, asked.batch_size, asked.known)

    def judge(self, asked: Asked, predictions: Sequence[Prediction]) -> Judged:
        """Return whether the right choice is the likeliest, and the likeliest by character."""
        examples = asked.examples
        pairs = list(zip(examples, predictions, strict=True))
        columns = {
            "accuracy": [None if p.choices is None else 100.0 * bool(p.correct) for p in predictions],
            "accuracy_norm": [
                None if p.choices is None else 100.0 * (best_normalised(p, e) == e.row.answer_index) for e, p in pairs
            ],
            "loss": [prediction.loss for prediction in predictions],
        }
        return Judged(examples, [None] * len(examples), [e.row.target for e in examples], columns, {})


def best_normalised(prediction: Prediction, example: Example) -> int:
    """Return the choice of the highest log-likelihood per character of its text.

    That is lm-evaluation-harness's ``acc_norm`` (``ConfigurableTask.process_results``: sums of log-probabilities over
    ``len(choice)``); its ``acc`` takes the sums as they are.
    """
    pairs = zip(prediction.choices or (), example.row.choices or (), strict=True)
    values = [value / len(text) for value, text in pairs]
    return values.index(max(values))


CHOICE = Choice(
    "choice",
    metrics=("accuracy", "accuracy_norm"),
    learned=("accuracy", "accuracy_norm"),
    meaning="the choice of highest log-likelihood given the prompt; rows without choices are left out",
    warning="rows without choices are left out",
    no_claim="anything about what the models write: choice compares the likelihoods of given options",
    signatures={
        "accuracy": "the choice of the highest log-likelihood is the right one (lm-eval's acc)",
        "accuracy_norm": "the same, log-likelihood over characters of the choice (lm-eval's acc_norm)",
        "loss": "nats of the right choice, mean of rows",
    },
    wants="rows with choices",
    row_cost=1.5,
)
