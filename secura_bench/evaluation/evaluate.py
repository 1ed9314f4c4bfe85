"""One protocol on one set of examples: predictions to columns of item scores, and scores of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import nn

from secura_bench.data.chat import ChatFormat
from secura_bench.data.example import Example
from secura_bench.evaluation.outcome import Column, Evaluation
from secura_bench.evaluation.predictions import NOTHING_KNOWN, Prediction
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.evaluation.protocols.protocol import Asked
from secura_bench.evaluation.user_metrics import UserMetric
from secura_bench.tasks.file import TaskFile

OnBatch = Callable[[Sequence[tuple[int, Prediction]]], None]


def evaluate(
    protocol: str,
    model: nn.Module,
    file: TaskFile,
    examples: Sequence[Example],
    chat: ChatFormat,
    batch_size: int,
    context: int,
    known: Mapping[int, Prediction] = NOTHING_KNOWN,
    on_batch: OnBatch = lambda batch: None,
    metrics: Sequence[UserMetric] = (),
    why_not: Mapping[str, str] | None = None,
    company: bool = True,
) -> Evaluation:
    """Score ``model`` on ``examples`` of one task. Examples that the protocol cannot score are not counted.

    ``context`` is the longest window of ``perplexity`` in tokens. A model that reads less sets a shorter one.
    ``known`` holds predictions by position, which an interrupted evaluation of the same examples has made. They are
    taken as they are. A batch of known predictions alone is not computed again.
    ``on_batch`` is called after each batch that was scored, with the batch's predictions.
    ``why_not`` allows ``execute`` to run programs, and says which it cannot; ``company`` says whether what stands
    beside a row may move its numbers: ``Asked``.
    """
    way = PROTOCOLS[protocol]
    asked = Asked(model, file, examples, chat, batch_size, context, known, why_not, company)
    wanted = way.scorable(file.kind, examples)
    found = dict(known)
    if not found.keys() >= set(wanted):  # else the model, which may be one of shapes alone, is not asked
        for batch in way.predict(asked):
            found.update(batch)
            on_batch(batch)
    predictions = [found.get(i, Prediction()) for i in range(len(examples))]
    judged = way.judge(asked, predictions)
    return _whole(
        Evaluation(
            **vars(judged),
            protocol=protocol,
            task=file.id,
            predictions=predictions,
            scores={},
            n=sum(predictions[i].verdict != "skipped" for i in wanted),
            metrics=metrics,
            tokenizers=(file.tokenize,),
        )
    )


def pool(name: str, parts: Sequence[Evaluation]) -> Evaluation:
    """Return the items of ``parts`` as one set, scored together: every item weighs the same."""
    names = dict.fromkeys(metric for part in parts for metric in part.columns)
    columns: dict[str, Column] = {
        metric: [score for part in parts for score in part.columns.get(metric, [None] * len(part.examples))]
        for metric in names
    }
    return _whole(
        Evaluation(
            protocol=parts[0].protocol,
            task=name,
            examples=[example for part in parts for example in part.examples],
            predictions=[prediction for part in parts for prediction in part.predictions],
            extracted=[answer for part in parts for answer in part.extracted],
            references=[reference for part in parts for reference in part.references],
            columns=columns,
            scores={},
            signatures={name: text for part in parts for name, text in part.signatures.items()},
            n=sum(part.n for part in parts),
            metrics=parts[0].metrics,
            tokenizers=tuple(dict.fromkeys(tokenizer for part in parts for tokenizer in part.tokenizers)),
        )
    )


def split_wrong_answers(generated: Evaluation, chosen: Evaluation) -> Evaluation:
    """Return ``generated`` with its wrong answers split in two by ``chosen``, the same items scored by ``choice``.

    A wrong answer is ``format`` if the right choice was the likeliest: the model knows it, and does not say so.
    It is ``gone`` if another choice was the likeliest. An answer that did not end its turn is neither: it is ``cut``.
    Items without choices have no label.
    """
    labels: dict[str, list[float | None]] = {"format": [], "gone": []}
    rows = zip(generated.columns["accuracy"], generated.predictions, chosen.columns["accuracy"], strict=True)
    for right, prediction, by_choice in rows:
        wrong = not right and not prediction.cut
        labels["format"].append(None if by_choice is None else 100.0 * (wrong and bool(by_choice)))
        labels["gone"].append(None if by_choice is None else 100.0 * (wrong and not by_choice))
    if all(label is None for label in labels["gone"]):
        return generated
    signatures = {
        **generated.signatures,
        "format": "wrong, ended, right by choice; of items with choices",
        "gone": "wrong, ended, wrong by choice; of items with choices",
    }
    return _whole(replace(generated, columns={**generated.columns, **labels}, signatures=signatures))


def _whole(items: Evaluation) -> Evaluation:
    """Return the evaluation with the scores of its whole."""
    scores, signatures = PROTOCOLS[items.protocol].whole(items)
    return replace(items, scores=scores, signatures={**items.signatures, **signatures})
