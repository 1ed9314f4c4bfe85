"""By which tokens BLEU and ROUGE compare texts: the libraries' own, or those that a task file's ``tokenize`` names."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

BLEU_ORDER = 4  # tokens: of fewer, BLEU has no n-gram of the highest order, and a perfect answer scores 0
_LEAST_SEEN = 0.5  # of a text's letters and digits, that a tokenizer must see for ROUGE to say anything of it


def bleu_tokens(tokenize: str | None) -> Callable[[str], list[str]]:
    """Return what sacreBLEU takes a text apart with; None is its default, ``13a``."""
    return _sacrebleu(tokenize or "13a")


def rouge_tokenizer(tokenize: str | None) -> Any:
    """Return a tokenizer for rouge-score: its own with the stemmer, which sees a to z and digits alone, or sacreBLEU's.

    Of sacreBLEU's tokens those that hold a letter or a digit count, without case.
    """
    if tokenize is None:
        from rouge_score.tokenizers import DefaultTokenizer

        return DefaultTokenizer(use_stemmer=True)
    return _Words(bleu_tokens(tokenize))


def seen_by_rouge(text: str, tokenize: str | None) -> int:
    """Return how many words ROUGE sees in ``text``; 0 where it does not see most of its letters and digits.

    What it does not see, it would neither miss nor reward: of a Chinese sentence with a year the year would be all.
    """
    letters = [character for character in text.lower() if character.isalnum()]
    if tokenize is None and sum(c.isascii() for c in letters) < _LEAST_SEEN * len(letters):
        return 0
    return len(rouge_tokenizer(tokenize).tokenize(text))


class _Words:
    """A sacreBLEU tokenizer as rouge-score wants one."""

    def __init__(self, tokens: Callable[[str], list[str]]) -> None:
        self._tokens = tokens

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens that hold a letter or a digit, without case."""
        return [token for token in self._tokens(text.lower()) if any(map(str.isalnum, token))]


@cache
def _sacrebleu(name: str) -> Callable[[str], list[str]]:
    from sacrebleu.metrics import BLEU

    tokenizer = BLEU(tokenize=name).tokenizer
    return lambda text: tokenizer(text).split()
