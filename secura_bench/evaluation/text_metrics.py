"""Metrics of one answer against its reference, and of a whole set. Scores are in percent.

Where a perfect answer would score 0, a metric says nothing: None of a row, NaN of a set.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

from secura_bench.evaluation.tokenizers import BLEU_ORDER, bleu_tokens, rouge_tokenizer, seen_by_rouge

ROUGES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

CHAR_BLEU_SIGNATURE = "char-bleu|nltk-sentence_bleu|smoothing:method4|mean-of-rows"
ROUGE_SIGNATURE = "rouge_score|stemmer|f-measure|mean-of-rows"


def char_bleu(hypothesis: str, reference: str) -> float:
    """Return the paper's BLEU: NLTK's sentence BLEU over characters, smoothing method 4.

    It passes plain strings where NLTK expects lists of words. A perfect answer of fewer than four characters scores
    far below 100 ("42": 22.1), and the score says little about words.
    """
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    if len(hypothesis) < 1:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NLTK warns of every row without a common 4-gram
        return 100 * float(
            sentence_bleu([list(reference)], list(hypothesis), smoothing_function=SmoothingFunction().method4)
        )


def rouge(hypothesis: str, reference: str, tokenize: str | None = None) -> dict[str, float | None]:
    """Return the F-measures of ``ROUGES``; rougeLsum takes lines for sentences.

    By rouge-score's own words with the stemmer, or by the tokens of sacreBLEU's ``tokenize``. None where the reference
    has no word by them, or does not have the two that ROUGE-2 wants.
    """
    words = seen_by_rouge(reference, tokenize)
    scores = _rouge_scorer(tokenize).score(reference, hypothesis)
    return {name: 100 * scores[name].fmeasure if words >= 1 + (name == "rouge2") else None for name in ROUGES}


def rouge_signature(tokenize: str | None) -> str:
    """Return what exactly ROUGE is, by this tokenizer."""
    return ROUGE_SIGNATURE if tokenize is None else ROUGE_SIGNATURE.replace("stemmer", f"tok:{tokenize}|lowercase")


@cache
def _rouge_scorer(tokenize: str | None) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGES), tokenizer=rouge_tokenizer(tokenize))


def corpus_bleu(hypotheses: Sequence[str], references: Sequence[str], tokenize: str | None = None) -> tuple[float, str]:
    """Return sacreBLEU's corpus BLEU over all rows, and its signature; NaN where no reference has four tokens."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(tokenize=tokenize)
    score = metric.corpus_score(list(hypotheses), [list(references)])
    tokens = bleu_tokens(tokenize)
    told = any(len(tokens(reference)) >= BLEU_ORDER for reference in references)
    return float(score.score) if told else math.nan, str(metric.get_signature())


def corpus_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """Return sacreBLEU's corpus chrF (chrF2: characters, no words) over all rows, and its signature."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    score = metric.corpus_score(list(hypotheses), [list(references)])
    return float(score.score), str(metric.get_signature())
