"""Users' regular expressions, matched by RE2: in time linear in the text, so that none can hang a run."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def compile_pattern(pattern: str) -> Any:
    """Return the compiled pattern.

    Raises:
        ValueError: It is no RE2 expression: look-around and back-references are what RE2 leaves out.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ValueError(
            f"{pattern!r} is no regular expression of RE2 ({reason}; it has no look-around and no back-references)"
        ) from None


def last_match(pattern: str, text: str) -> str | None:
    """Return what ``pattern`` finds last in ``text``: its first group, or the whole where it has none; else None."""
    found = None
    for match in compile_pattern(pattern).finditer(text):
        found = match
    if found is None:
        return None
    return found.group(1) if found.re.groups else found.group()
