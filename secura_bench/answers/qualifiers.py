"""Numbers that are not what a sentence tells: rates, spans and prices beside it, halves of a measure, names."""

from __future__ import annotations

import re
from enum import Enum


class Beside(Enum):
    """Whether a number tells something, or only says of what, for how many or by when another one is told."""

    TOLD = 0
    RATE = 1
    MAY_BE_RATE = 2


_TIME = r"(?:second|minute|hour|day|night|week|weekend|month|year|decade|sec|min|hr)s?"
_COUNTED = re.compile(
    r"\b(?:step|question|problem|example|equation|figure|table|part|day|no\.?|chapter)\s*#?$", re.IGNORECASE
)
_NAMED = re.compile(
    r"\b(?:room|flight|gate|platform|channel|route|highway|apartment|apt\.?|version|phase|psalm|area|type)\s*#?$",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"\b(?:per|every|each|after(?:\s+(?:the\s+)?(?:first|next|last))?|for\s+(?:all(?:\s+(?:of\s+)?the)?|the|these|those|both))\s+$",
    re.IGNORECASE,
)
_PRICE_BEFORE = re.compile(r"\bat\s+(?:only\s+|just\s+)?$", re.IGNORECASE)
_PRICE_AFTER = re.compile(
    r"(?:\s+(?:dollars?|cents?|euros?|pounds?))?(?:\s*/|\s+(?:each|apiece|a\s+piece|per|an?\s+\w+|every)\b)",
    re.IGNORECASE,
)
_SPAN_BEFORE = re.compile(r"\b(?:in|within|over|during)\s+(?:the\s+(?:next|last|first)\s+)?$", re.IGNORECASE)
_SPAN_AFTER = re.compile(rf"\s+(?:\w+\s+)?{_TIME}\b", re.IGNORECASE)
_AIM = re.compile(r"\b(?:out\s+of|to\s+(?:reach|get\s+to|arrive\s+at|make\s+up|fill|complete))\s+$", re.IGNORECASE)
_FOR = re.compile(r"\bfor\s+(?:just\s+|only\s+)?$", re.IGNORECASE)
_MONEY_BEHIND = re.compile(r"[$€£¥₹]\s?$")
_MONEY_AFTER = re.compile(r"\s*(?:[%€£$]|(?:dollars?|cents?|euros?|pounds?|percent|points?)\b)", re.IGNORECASE)
_THINGS = re.compile(r"\s+(?!(?:in|on|at|and|or|of|to|is|was|as|per|total|each)\b)[A-Za-z]+", re.IGNORECASE)
_PRICED = re.compile(r"(?:[$€£¥₹]\s?\d[\d.,]*|\d\s+(?:dollars?|cents?|euros?|pounds?))\s+$")
_SPAN = r"months?|weeks?|days?|hours?|hrs?|minutes?|mins?"
_VOLUME = r"quarts?|pints?|cups?|ounces?|oz|ml|millilit(?:er|re)s?"
_PARTS = (
    (
        r"ft|feet|foot|yards?|yd|miles?|met(?:er|re)s?|m|km",
        r"in|inch(?:es)?|feet|ft|yards?|cm|m|(?:centi)?met(?:er|re)s?",
    ),
    (rf"years?|h|{_SPAN}", rf"m|seconds?|secs?|s|{_SPAN}"),
    (r"stone|pounds?|lbs?|kg|kilograms?|kilos?", r"pounds?|lbs?|ounces?|oz|grams?|g"),
    (r"dollars?|euros?|pounds?", r"cents?|pence|p"),
    (rf"gallons?|lit(?:er|re)s?|{_VOLUME}", _VOLUME),
)
_COMPOUNDS = [
    (
        re.compile(rf"\s?(?:{large})\.?,?\s+(?:and\s+)?", re.I),
        re.compile(rf"\s?(?:{small})\b(?!\s+(?:each|a|per)\b)", re.I),
    )
    for large, small in _PARTS
]


def beside(text: str, start: int, end: int) -> Beside:
    """Return whether the number at ``start`` to ``end`` tells something, or is beside what does: "per 3 days"."""
    before, after = text[max(0, start - 30) : start], text[end : end + 30]
    money = _MONEY_BEHIND.search(before) or text[start] in "$€£¥₹" or _MONEY_AFTER.match(after)
    if _RATE.search(before) and not (money and re.search(r"\bfor\b[^.]*$", before)):
        return Beside.RATE
    if _PRICE_BEFORE.search(before) and _PRICE_AFTER.match(after):
        return Beside.RATE
    if money:
        return Beside.TOLD
    if bought := _FOR.search(before):
        priced = _PRICED.search(before[: bought.start()]) and _THINGS.match(after)
        return Beside.RATE if priced else Beside.MAY_BE_RATE if _THINGS.match(after) else Beside.TOLD
    unsure = (_SPAN_BEFORE.search(before) and _SPAN_AFTER.match(after)) or _AIM.search(before)
    return Beside.MAY_BE_RATE if unsure else Beside.TOLD


def is_counted(before: str) -> bool:
    """Return whether a number behind ``before`` says which one of a row it is: "step 3"."""
    return _COUNTED.search(before) is not None


def is_named(before: str) -> bool:
    """Return whether a number behind ``before`` is a name: "room 5"."""
    return _NAMED.search(before) is not None


def is_compound(between: str, after: str) -> bool:
    """Return whether two numbers are parts of one measure: "5 ft 6 in"; ``after`` is what follows the second."""
    return any(large.fullmatch(between) and small.match(after) for large, small in _COMPOUNDS)
