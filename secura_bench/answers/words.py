"""Numbers in English words: zero to billions, and fractions such as "two thirds"."""

from __future__ import annotations

import math
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

_COUNTED_IN = SCALES | {"dozen": 12, "lakh": 10**5, "crore": 10**7}
_SHORT = {"k": 10**3, "K": 10**3, "M": 10**6, "mn": 10**6, "mln": 10**6, "B": 10**9, "bn": 10**9, "tn": 10**12}
_OF_MONEY = {"m": 10**6, "b": 10**9, "t": 10**12, "mil": 10**6}
_UNITS_TOO = frozenset({"K", "B"})  # behind a blank: kelvins, bytes

SCALE = (
    rf"(?:[ -](?:{'|'.join(_COUNTED_IN)})s?\b)+"
    rf"|[ ]?(?-i:{'|'.join(sorted({**_SHORT, **_OF_MONEY}, key=len, reverse=True))})(?!\w|[&'’/.-]\w|\^|[²³])"
)
"""What a number before it may be counted in: "million", "dozen", "k", and "m", which may be metres."""

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


def scale_of(scale: str, money: bool) -> int | None:
    """Return what ``SCALE`` multiplies by; 1 where it is a unit ("5 m"), None where it cannot be told ("5 K")."""
    words = scale.replace("-", " ").split()
    if words[0].lower().rstrip("s") in _COUNTED_IN:
        if "dozens" in words:  # may count the dozens
            return None
        return math.prod(_COUNTED_IN[word.lower().rstrip("s")] for word in words)
    if money:
        return (_SHORT | _OF_MONEY)[words[0]]
    if scale[0] == " " and words[0] in _UNITS_TOO:
        return None
    return _SHORT.get(words[0], 1)


def is_pronoun(word: str, before: str, after: str) -> bool:
    """Return whether "one" counts nothing where it stands: "no one", "one of them", "one can see"."""
    if word.lower() != "one":
        return False
    last, following = re.search(r"(\w+)\s+$", before), re.match(r"\s+(\w+)", after)
    return bool(
        (last and last[1].lower() in _NO_NUMBER_BEFORE) or (following and following[1].lower() in _NO_NUMBER_AFTER)
    )
