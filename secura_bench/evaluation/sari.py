"""SARI of one simplified text: which of the source's n-grams it keeps, deletes and adds, held against references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from secura_bench.evaluation.tokenizers import bleu_tokens

SARI_SIGNATURE = "evaluate's sari|lowercase|tok:13a|source:prompt|mean-of-rows"
_LARGEST = 4  # words of an n-gram


def sari(source: str, hypothesis: str, references: Sequence[str]) -> float:
    """Return SARI in percent (Xu et al. 2016, section 4), as the ``evaluate`` package's metric computes it.

    The mean over n-grams of 1 to 4 words, and over keeping (F1), deleting (precision) and adding (F1). Words are
    sacreBLEU's 13a, in lower case. Where there is nothing to keep, delete or add, the share that is right is 1. Recall
    of kept n-grams counts each as often as it stands there, as in the authors' mended code.
    """
    tokens = bleu_tokens("13a")
    texts = [tokens(text.lower()) or [""] for text in (source, hypothesis, *references)]  # [""]: as evaluate splits
    orders = range(1, _LARGEST + 1)
    return 100 * sum(_of_order(*(_ngrams(words, n) for words in texts)) for n in orders) / _LARGEST


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))


def _of_order(
    source: Counter[tuple[str, ...]], hypothesis: Counter[tuple[str, ...]], *references: Counter[tuple[str, ...]]
) -> float:
    """Return the mean of the three shares of n-grams; each reference counts once, the others once a reference."""
    wanted = sum(references, Counter())
    before, after = (Counter({gram: n * len(references) for gram, n in c.items()}) for c in (source, hypothesis))

    kept, to_keep, gone = before & after, before & wanted, before - after
    right = kept & wanted
    keep = _f1(_mean_share(right, kept), right.total() / to_keep.total() if to_keep else 1.0)

    delete = _mean_share(gone - wanted, gone)

    added, to_add = after.keys() - before.keys(), wanted.keys() - before.keys()
    good = len(added & to_add)
    add = _f1(good / len(added) if added else 1.0, good / len(to_add) if to_add else 1.0)
    return (keep + delete + add) / 3


def _mean_share(part: Counter[tuple[str, ...]], whole: Counter[tuple[str, ...]]) -> float:
    return sum(part[gram] / n for gram, n in whole.items()) / len(whole) if whole else 1.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
