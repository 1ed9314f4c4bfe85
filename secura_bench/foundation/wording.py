"""Words for what every room says: times, errors and numbers that are not known well, each in a line."""

from __future__ import annotations


def first_line(said: object) -> str:
    """Return the first line of a text, or of what an error says; "" where it says nothing."""
    return next(iter(str(said).strip().splitlines()), "").strip()


def in_a_line(error: BaseException) -> str:
    """Return an error's kind and the first line of its text."""
    return f"{type(error).__name__}: {first_line(error)}"


def sentence_of(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind where it says nothing, as a sentence."""
    line = first_line(error).rstrip(":") or type(error).__name__
    return line if line.endswith((".", "!", "?")) else f"{line}."


def duration(seconds: float) -> str:
    """Return a duration as a person says it: ``42 s``, ``3:05 min``, ``2:10 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 run``, ``1,200 runs``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def about(count: int) -> str:
    """Return a number that is not known better than to two digits, rounded up: ``1,700`` for 1,623."""
    step = 10 ** max(0, len(str(count)) - 2)
    return f"{-(-count // step) * step:,}"
