"""One protocol on one set of examples: predictions to columns of item scores, and scores of the whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from secura_bench.data.chat import ChatFormat
from secura_bench.data.example import Example
from secura_bench.evaluation import text_metrics as scores
from secura_bench.evaluation.extraction import extract, is_right
from secura_bench.evaluation.predictions import NOTHING_KNOWN, Prediction, Scored, answerable
from secura_bench.evaluation.protocols.choice import best_normalised, choice
from secura_bench.evaluation.protocols.generate import generate
from secura_bench.evaluation.protocols.perplexity import perplexity, stride_of, window_of
from secura_bench.evaluation.protocols.teacher_forced import teacher_forced
from secura_bench.evaluation.user_metrics import UserMetric
from secura_bench.tasks.file import TaskFile

Column = Sequence[float | None]
OnBatch = Callable[[Sequence[tuple[int, Prediction]]], None]


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one protocol on one task, or on several pooled.

    Attributes:
        protocol: its name. task: a task or the name of the pool.
        examples, predictions, extracted, references: one each an item; ``extracted`` is None where nothing was
            extracted, ``references`` is the text that the prediction's is compared with: as it comes back from its
            tokens.
        columns: scores of every item by metric, in percent but for ``loss`` (nats) and ``tokens``; None where the
            metric says nothing of the item.
        scores: the whole's scores: means of the columns over the items that have one, and corpus metrics.
        signatures: what exactly each metric is.
        n: how many items the protocol scored.
        metrics: the user's own, that the whole is scored by.
        tokenizers: by which BLEU and ROUGE take texts apart: one, of several tasks pooled as many as they have.
    """

    protocol: str
    task: str
    examples: Sequence[Example]
    predictions: Sequence[Prediction]
    extracted: Sequence[str | None]
    references: Sequence[str]
    columns: Mapping[str, Column]
    scores: Mapping[str, float]
    signatures: Mapping[str, str]
    n: int
    metrics: Sequence[UserMetric] = ()
    tokenizers: tuple[str | None, ...] = (None,)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of rows that a metric says nothing of, where it is not all of them."""
        untold = sum(value is None for value in self.columns.get("rouge1", ()))
        if not 0 < untold < len(self.examples):
            return ()
        return (
            f"{self.task}: ROUGE leaves out {untold} of {len(self.examples)} rows, whose references hold too few words "
            f"that it sees ('tokenize' in the task file names another tokenizer)",
        )


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
) -> Evaluation:
    """Score ``model`` on ``examples`` of one task; those that the protocol cannot score are counted out.

    ``context`` is the longest window of ``perplexity`` in tokens (a model that reads less sets a shorter one).
    ``known`` holds predictions by position that an interrupted evaluation of the very same examples has made: they
    are taken as they are, and batches of nothing else are passed over; where they are all, the model computes nothing.
    ``on_batch`` is called after each batch that was scored, with its finished predictions.
    """
    window = window_of(model, context)
    wanted = answerable(protocol, file.kind, examples)
    found = dict(known)
    if not found.keys() >= set(wanted):  # else the model, which may be one of shapes alone, is not asked
        for batch in _batches(protocol, model, file, examples, chat, batch_size, window, known):
            found.update(batch)
            on_batch(batch)
    predictions = [found.get(i, Prediction()) for i in range(len(examples))]
    pairs = list(zip(examples, predictions, strict=True))
    extracted: list[str | None] = [None] * len(examples)
    if protocol in ("teacher_forced", "generate"):  # a tokenizer's losses are no mistakes of the model's
        examples = [_read_back(example, chat) for example in examples]
        pairs = list(zip(examples, predictions, strict=True))
    references = [example.row.target for example in examples]
    signatures = {}
    columns: dict[str, Column]
    if protocol == "teacher_forced":
        # Of an answer that the context cuts the model saw what is left: that is what its own is compared with.
        references = [
            chat.decode(example.answer_ids) if chat.is_cut(example) else example.row.target for example in examples
        ]
        columns = {
            "accuracy": [100.0 * bool(prediction.correct) for prediction in predictions],
            "char_bleu": [
                scores.char_bleu(p.text, reference) for p, reference in zip(predictions, references, strict=True)
            ],
            **_rouge_columns(predictions, references, file.tokenize),
            "loss": [prediction.loss for prediction in predictions],
        }
        signatures["loss"] = "nats a token, mean of rows"
    elif protocol == "generate":
        extracted = [extract(file.answer, p.text, example.row, file.extract) for example, p in pairs]
        right = [is_right(file.answer, answer, e.row) for e, answer in zip(examples, extracted, strict=True)]
        columns = {
            "accuracy": [100.0 * verdict for verdict in right],
            **_rouge_columns(predictions, references, file.tokenize),
            "cut": [100.0 * bool(prediction.cut) for prediction in predictions],
        }
        signatures["cut"] = "no end of turn within the task's max_new_tokens"
    elif protocol == "choice":
        columns = {
            "accuracy": [None if p.choices is None else 100.0 * bool(p.correct) for p in predictions],
            "accuracy_norm": [
                None if p.choices is None else 100.0 * (best_normalised(p, e) == e.row.answer_index) for e, p in pairs
            ],
            "loss": [prediction.loss for prediction in predictions],
        }
        signatures["accuracy_norm"] = "the same, log-likelihood over characters of the choice (lm-eval's acc_norm)"
        signatures["loss"] = "nats of the right choice, mean of rows"
    else:
        columns = {"loss": [p.loss for p in predictions], "tokens": [p.tokens for p in predictions]}
        first = "predicted from the beginning-of-sequence token" if _has_bos(examples) else "left out"
        signatures["perplexity"] = (
            f"exp of nats a token over all tokens|window:{window}|stride:{stride_of(window)}|first token {first}"
        )
    n = len(wanted)
    return _whole(
        Evaluation(
            protocol,
            file.id,
            examples,
            predictions,
            extracted,
            references,
            columns,
            {},
            signatures,
            n,
            metrics,
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
    """Return ``generated`` with its wrong answers told apart by ``chosen``, the same items scored by ``choice``.

    A wrong item that ended its turn is ``format`` where the right choice was the likeliest (the model knows, and does
    not say so) and else ``gone``; one that did not end its turn is neither, but ``cut``. Items without choices
    have no label.
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


def _batches(
    protocol: str,
    model: nn.Module,
    file: TaskFile,
    examples: Sequence[Example],
    chat: ChatFormat,
    batch_size: int,
    window: int,
    known: Mapping[int, Prediction],
) -> Iterator[Scored]:
    """Return the protocol's predictions, batch by batch in an order that depends on nothing but the arguments."""
    if protocol == "teacher_forced":
        return teacher_forced(model, examples, chat, batch_size, known)
    if protocol == "choice":
        return choice(model, examples, chat, batch_size, known)
    if protocol == "perplexity":
        return perplexity(model, examples, chat, batch_size, window, known)
    return generate(model, examples, chat, batch_size, file.max_new_tokens, known)


def _whole(items: Evaluation) -> Evaluation:
    """Return the evaluation with the scores of its whole."""
    whole = {metric: _mean(values) for metric, values in items.columns.items()}
    signatures = dict(items.signatures)
    texts = [prediction.text for prediction in items.predictions]
    if items.protocol in scores.ACCURACY_SIGNATURE:
        signatures["accuracy"] = scores.ACCURACY_SIGNATURE[items.protocol]
    if items.protocol in ("teacher_forced", "generate"):
        signatures |= dict.fromkeys(scores.ROUGES, " or ".join(map(scores.rouge_signature, items.tokenizers)))
        for metric in items.metrics:
            found = metric.score(texts, items.references)
            whole |= found
            signatures |= dict.fromkeys(found, metric.signature)
    if items.protocol == "teacher_forced":
        signatures["char_bleu"] = scores.CHAR_BLEU_SIGNATURE
    if items.protocol == "generate":
        whole["bleu"], signatures["bleu"] = _bleu(texts, items)
        whole["chrf"], signatures["chrf"] = scores.corpus_chrf(texts, items.references)
    if items.protocol == "perplexity":
        tokens = sum(p.tokens or 0 for p in items.predictions)
        nats = math.fsum((p.loss or 0.0) * (p.tokens or 0) for p in items.predictions)
        whole = {
            "perplexity": _exp(nats / tokens) if tokens else math.nan,
            "loss": nats / tokens if tokens else math.nan,
            "tokens": float(tokens),
        }
    return replace(items, scores=whole, signatures=signatures)


def _read_back(example: Example, chat: ChatFormat) -> Example:
    """Return ``example`` with its row's answer and choices as a model's own come back from their tokens."""
    row = chat.read_back(example.row)
    return example if row is example.row else replace(example, row=row)


def _bleu(texts: Sequence[str], items: Evaluation) -> tuple[float, str]:
    """Return the corpus BLEU and its signature; NaN of tasks pooled that are not taken apart by one tokenizer."""
    if len(items.tokenizers) > 1:
        named = ", ".join(tokenizer or "13a" for tokenizer in items.tokenizers)
        return math.nan, f"none of the whole: its tasks have tokenizers of their own ({named})"
    return scores.corpus_bleu(texts, items.references, items.tokenizers[0])


def _mean(values: Column) -> float:
    """Return the mean of the items that have a value, NaN where none has."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _has_bos(examples: Sequence[Example]) -> bool:
    return all(example.prompt_ids for example in examples)


def _rouge_columns(
    predictions: Sequence[Prediction], references: Sequence[str], tokenize: str | None
) -> dict[str, Column]:
    found = [scores.rouge(p.text, reference, tokenize) for p, reference in zip(predictions, references, strict=True)]
    return {metric: [rouges[metric] for rouges in found] for metric in scores.ROUGES}
