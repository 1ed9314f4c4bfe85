"""What stands beside a number and says what it counts: money, a unit and its power, a name that it is part of."""

from __future__ import annotations

import re

_LENGTH = (
    r"(?:[cmkd]?m|ft|in|yd|mi|(?<=/)s(?:ec)?|(?:centi|kilo|milli)?met(?:er|re)s?|inch(?:es)?"
    r"|feet|foot|yards?|miles?|units?)"
)
_RAISED_UNIT = re.compile(rf"(?<![A-Za-z]){_LENGTH}(?:\s?\^|\*\*)\{{?$")
_MONEY_BEFORE = re.compile(r"(?:\b(?:USD|EUR|GBP|INR|AUD|CAD|Rs\.?))\s?$", re.IGNORECASE)
_MONEY_AFTER = re.compile(r"\s?(?:[$€£¥₹]|(?:dollars|euros?|pounds\s+sterling|USD|EUR|GBP|INR)\b)", re.IGNORECASE)
_NAME = re.compile(r"(?<![\w-])(?!(?i:answer|total|result|sum|minus|negative)-$)(?:[A-Za-z]\w+|[A-Z])-$")


def is_money(before: str, after: str) -> bool:
    """Return whether the number between ``before`` and ``after`` is an amount of money, by a word or a sign there."""
    return _MONEY_BEFORE.search(before) is not None or _MONEY_AFTER.match(after) is not None


def is_raised_unit(before: str) -> bool:
    """Return whether what follows ``before`` is a unit's power: the 2 of "cm^2"."""
    return _RAISED_UNIT.search(before) is not None


def is_name(before: str) -> bool:
    """Return whether a number behind ``before`` is a part of a name: the 19 of "COVID-19"."""
    return _NAME.search(before) is not None
