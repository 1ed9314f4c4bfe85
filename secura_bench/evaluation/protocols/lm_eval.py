"""The tasks of lm-evaluation-harness: asked and judged by the harness itself, item by item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from secura_bench.evaluation.outcome import Column, Judged
from secura_bench.evaluation.predictions import Prediction, Scored
from secura_bench.evaluation.protocols.protocol import Asked, Protocol
from secura_bench.foundation.errors import DataError

if TYPE_CHECKING:
    from secura_bench.data.example import Example
    from secura_bench.harness.ask import Said
    from secura_bench.harness.task import HarnessTask


class LmEval(Protocol):
    """Whatever a task of the harness asks: likelihoods of choices, or generation and its filters."""

    def scorable(self, kind: str, examples: Sequence[Example]) -> list[int]:
        """Return the positions of all items of the harness, and of nothing else."""
        return list(range(len(examples))) if kind == "lm_eval" else []

    def batches(self, asked: Asked) -> list[list[int]]:
        """Return none: the harness asks a task as a whole, in one process."""
        return []

    def predict(self, asked: Asked) -> Iterator[Scored]:
        """Return what the harness finds, a batch a task of its own: what is cut off loses one task.

        Raises:
            DataError: The harness fails at a task, or its items are other ones than when the plan was made.
        """
        from secura_bench.harness.apart import apart
        from secura_bench.harness.ask import ask, language_model
        from secura_bench.harness.code import foreign_code
        from secura_bench.harness.load import load

        file = harness_task(asked)
        inner: Any = asked.model.module if hasattr(asked.model, "module") else asked.model
        for name, task in load(file.suite, file.allow_code).tasks.items():
            places = [i for i, example in enumerate(asked.examples) if example.task == name]
            if all(i in asked.known for i in places):
                continue
            with apart(inner), foreign_code(file.id, file.allow_code):
                lm = language_model(inner, asked.chat.tokenizer, asked.batch_size)
                said = ask(lm, file.id, name, task, file.suite.limit)
            examples = [asked.examples[i] for i in places]
            if len(said) != len(examples) or not all(
                one.id in example.row.id for one, example in zip(said, examples, strict=True)
            ):
                raise DataError(f"{file.id}: the items of {name} are others from call to call; it cannot be a probe.")
            yield [(i, _prediction(one, e)) for i, one, e in zip(places, said, examples, strict=True)]

    def judge(self, asked: Asked, predictions: Sequence[Prediction]) -> Judged:
        """Return each item's score in percent, and the harness's own numbers as they are.

        Raises:
            DataError: A score lies outside of 0 to 1.
        """
        file = harness_task(asked)
        figures = [prediction.figures or {} for prediction in predictions]
        counted = [each.get(file.counted[e.task]) for each, e in zip(figures, asked.examples, strict=True)]
        for value, example in zip(counted, asked.examples, strict=True):
            if value is not None and not 0 <= value <= 1:
                raise DataError(
                    f"{file.id}: {file.counted[example.task]} of {example.task} is {value:g} of an item, and a score "
                    f"lies in 0 to 1: it cannot be a probe."
                )
        columns: dict[str, Column] = {"score": [None if value is None else 100.0 * value for value in counted]}
        columns |= {name: [each.get(name) for each in figures] for name in dict.fromkeys(n for e in figures for n in e)}
        names = ", ".join(dict.fromkeys(file.counted.values()))
        references = [example.row.target for example in asked.examples]
        return Judged(asked.examples, [None] * len(references), references, columns, {"score": f"{file.id}: {names}"})


def harness_task(asked: Asked) -> HarnessTask:
    """Return the task of the harness that is asked."""
    from secura_bench.harness.task import HarnessTask

    if not isinstance(asked.file, HarnessTask):
        raise TypeError(f"{asked.file.id} is no task of lm-eval")
    return asked.file


def _prediction(said: Said, example: Example) -> Prediction:
    """Return one item's prediction; of choices the likeliest, else what was written."""
    responses = [each[0] for each in said.sample["resps"]]
    if example.row.choices and len(responses) == len(example.row.choices):
        likelihoods = tuple(float(response[0]) for response in responses)
        text = example.row.choices[likelihoods.index(max(likelihoods))]
        return Prediction(text=text, choices=likelihoods, figures=said.figures)
    return Prediction(text=responses[0] if isinstance(responses[0], str) else "", figures=said.figures)


LM_EVAL = LmEval(
    "lm_eval",
    metrics=("score",),
    learned=(),
    meaning="tasks of lm-evaluation-harness by their own rules and prompts (no chat template); score is each task's "
    "first metric that is a mean of its items and better the higher",
    no_claim="anything about other prompts: lm-eval's tasks are asked without the model's chat template",
    wants="tasks named lm_eval:NAME in 'probe'",
    row_cost=4.0,
)
