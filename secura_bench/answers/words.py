"""Numbers in English words: zero to billions, and fractions such as "two thirds"."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: value for value, word in enumerate(["zero", *_UNITS, *_TEENS])} | {"a": 1, "an": 1}
_VALUES |= {word: 10 * value for value, word in enumerate(_TENS, start=2)}
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {"half": 2, "halve": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9}
_PARTS |= {"tenth": 10, "twentieth": 20, "hundredth": 100, "thousandth": 1000, "quarter": 4}

_BELOW_100 = rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_UNITS)}))?|{'|'.join(['zero', *_TEENS, *_UNITS])})"
_BELOW_1000 = rf"(?:(?:{'|'.join(_UNITS)}|a) hundred(?: (?:and )?{_BELOW_100})?|{_BELOW_100})"


def _scaled(scale: str, below: str) -> str:
    return rf"(?:(?:{_BELOW_1000}|a) {scale}(?:,? (?:and )?{below})?|{below})"


IN_WORDS = rf"\b{_scaled('billion', _scaled('million', _scaled('thousand', _BELOW_1000)))}\b"
"""A whole number below a trillion, as one says it."""

PART = rf"[- ](?P<part>{'|'.join(_PARTS)})(?P<plural>s?)\b"
"""What makes a fraction of a number before it: "-thirds"."""

_NO_NUMBER_BEFORE = frozenset(
    {"no", "any", "every", "some", "each", "this", "that", "which", "the", "other", "another"}
)
_NO_NUMBER_AFTER = frozenset(
    {"of", "another", "can", "could", "may", "might", "must", "should", "would", "who", "which", "day"}
)


def value_of_words(words: str) -> int:
    """Return the number that words matched by ``IN_WORDS`` say."""
    total = part = 0
    for word in re.split(r"[\s,-]+", words.lower()):
        if word == "hundred":
            part *= 100
        elif word in SCALES:
            total, part = total + SCALES[word] * part, 0
        elif word != "and":
            part += _VALUES[word]
    return total + part


def part_of(name: str) -> Fraction | None:
    """Return the share that ``PART`` names; None of a quarter, which may be a coin."""
    return None if name.lower() == "quarter" else Fraction(1, _PARTS[name.lower()])


def is_pronoun(word: str, before: str, after: str) -> bool:
    """Return whether "one" counts nothing where it stands: "no one", "one of them", "one can see"."""
    if word.lower() != "one":
        return False
    last, following = re.search(r"(\w+)\s+$", before), re.match(r"\s+(\w+)", after)
    return bool(
        (last and last[1].lower() in _NO_NUMBER_BEFORE) or (following and following[1].lower() in _NO_NUMBER_AFTER)
    )
