"""Words for what every room says: times and errors, each in a line."""

from __future__ import annotations


def in_a_line(error: BaseException) -> str:
    """Return an error's kind and the first line of its text."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def duration(seconds: float) -> str:
    """Return a duration as a person says it: ``42 s``, ``3:05 min``, ``2:10 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
