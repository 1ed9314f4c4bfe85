"""Errors that a user can mend: each says what is wrong, where, and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_QUOTED = 160  # characters


class BenchError(Exception):
    """Something the user can mend. The command line prints it without a traceback and exits with 2."""


class SpecError(BenchError):
    """An experiment spec, task file or option that cannot be accepted."""


class DataError(BenchError):
    """Data that cannot be read or used: a missing file, a broken line, a task without rows."""


class RecordError(BenchError):
    """A record that is damaged, or of a schema this version does not read."""


class StoppedEarly(BenchError):  # noqa: N818 - an outcome, not a fault
    """Something outside of the bench, such as a full disk, ends the command; what was done is saved. Exits with 3."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """Return "unknown KIND NAME", the nearest known name and all known ones, as one sentence."""
    names = sorted(known)
    return f"unknown {kind} {quoted(name)}.{did_you_mean(name, names)} Known: {', '.join(names)}."


def quoted(value: object) -> str:
    """Return ``value`` as it is spelled in Python, its middle left out where it is long."""
    try:
        spelled = repr(value)
    except ValueError:  # an integer of more digits than Python spells
        return "a number of thousands of digits"
    return spelled if len(spelled) <= _QUOTED else f"{spelled[: _QUOTED // 2]}…{spelled[-_QUOTED // 4 :]}"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return the known name nearest to ``name`` as a question after a space, nothing where none is near."""
    close = nearest(name, known)
    return f" Did you mean {close!r}?" if close is not None else ""


def nearest(name: object, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the known name nearest to ``name``, None where none is near: ``difflib``'s ratio is below ``cutoff``."""
    asked = name if isinstance(name, str) and len(name) <= _QUOTED else ""  # what is longer is near to nothing
    return next(iter(get_close_matches(asked, sorted(known), n=1, cutoff=cutoff)), None)
