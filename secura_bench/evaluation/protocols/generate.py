"""Generation: what a model writes after the prompt, greedily, and the answer that is read from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from secura_bench.data.example import Example
from secura_bench.evaluation.named_metrics import named_columns, named_signatures
from secura_bench.evaluation.outcome import Evaluation, Judged
from secura_bench.evaluation.predictions import Prediction, Scored
from secura_bench.evaluation.protocols.protocol import Asked, written
from secura_bench.evaluation.protocols.texts import TextProtocol, read_back, rouge_columns
from secura_bench.evaluation.text_metrics import corpus_bleu, corpus_chrf


class Generate(TextProtocol):
    """Greedy generation from the prompt alone."""

    def length(self, example: Example) -> int:
        """Return the tokens of the prompt."""
        return len(example.prompt_ids)

    def predict(self, asked: Asked) -> Iterator[Scored]:
        """Return what the model writes, up to its end of turn or the task's ``max_new_tokens``."""
        return written(asked, asked.examples, asked.known)

    def judge(self, asked: Asked, predictions: Sequence[Prediction]) -> Judged:
        """Read an answer out of each text by the task's rule, and compare it with the reference's."""
        from secura_bench.evaluation.extraction import extract, is_right

        file, examples = asked.file, read_back(asked)
        pairs = list(zip(examples, predictions, strict=True))
        extracted = [extract(file.answer, p.text, example.row, file.extract) for example, p in pairs]
        references = [example.row.target for example in examples]
        right = [is_right(file.answer, answer, e.row) for e, answer in zip(examples, extracted, strict=True)]
        prompts, texts = [e.row.prompt for e in examples], [prediction.text for prediction in predictions]
        columns = {
            "accuracy": [100.0 * verdict for verdict in right],
            **rouge_columns(predictions, references, file.tokenize),
            **named_columns(file, prompts, texts, references),
            "cut": [100.0 * bool(prediction.cut) for prediction in predictions],
        }
        return Judged(examples, extracted, references, columns, named_signatures(file))

    def whole(self, items: Evaluation) -> tuple[dict[str, float], dict[str, str]]:
        """Return the scores and signatures of the whole, with BLEU and chrF of the corpus."""
        scores, signatures = super().whole(items)
        texts = [prediction.text for prediction in items.predictions]
        scores["bleu"], signatures["bleu"] = _bleu(texts, items)
        scores["chrf"], signatures["chrf"] = corpus_chrf(texts, items.references)
        return scores, signatures


def _bleu(texts: Sequence[str], items: Evaluation) -> tuple[float, str]:
    """Return the corpus BLEU and its signature; NaN of tasks pooled that are not taken apart by one tokenizer."""
    if len(items.tokenizers) > 1:
        named = ", ".join(tokenizer or "13a" for tokenizer in items.tokenizers)
        return math.nan, f"none of the whole: its tasks have tokenizers of their own ({named})"
    return corpus_bleu(texts, items.references, items.tokenizers[0])


GENERATE = Generate(
    "generate",
    metrics=("accuracy", "bleu", "rouge1", "rougeL"),
    learned=("accuracy", "rouge1"),
    meaning="greedy generation from the prompt alone",
    signatures={
        "accuracy": "the extracted answer is the reference's",
        "cut": "no end of turn within the task's max_new_tokens",
    },
    row_cost=4.0,
    generates=True,
)
