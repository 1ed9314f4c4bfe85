"""What a cell is as text: the one rule for prompts, answers, options, turns and ids."""

from __future__ import annotations

import math
import re
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

_SPELLED = (int, Decimal, date, time, timedelta, UUID)  # a datetime is a date
_SURROGATE = re.compile("[\ud800-\udfff]")


class Number(float):
    """A number with a fraction or an exponent that keeps its source's spelling: ``1.10`` stays that as text."""

    spelling: str

    def __new__(cls, spelling: str, value: float | None = None) -> Number:
        """Read ``spelling``; ``value`` is given where its reading is not what the source holds."""
        number = super().__new__(cls, spelling if value is None else value)
        number.spelling = spelling
        return number

    def __str__(self) -> str:
        return self.spelling


class NotTextError(ValueError):
    """A value stands where a text belongs and is none; ``value`` is the value, ``why`` says what it is."""

    def __init__(self, value: Any, why: str) -> None:
        super().__init__(f"{why}, not text")
        self.value = value
        self.why = why


def as_text(value: Any) -> str:
    """Return a cell as text; None is empty, and numbers and dates are as they are spelled.

    Raises:
        NotTextError: It is true or false, no number (NaN), an infinite one, bytes, a list or a mapping.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        raise NotTextError(value, "true" if value else "false")
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):
        raise NotTextError(value, f"{value} (no finite number)")
    if isinstance(value, (float, *_SPELLED)):
        return str(value)
    if isinstance(value, bytes):
        raise NotTextError(value, "bytes that are not UTF-8")
    raise NotTextError(value, f"a {type(value).__name__}")


def has_surrogate(text: str) -> bool:
    """Return whether ``text`` holds half a character (a lone surrogate), which no file and no tokenizer takes."""
    return not text.isascii() and _SURROGATE.search(text) is not None
