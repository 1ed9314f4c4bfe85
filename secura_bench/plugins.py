"""Whose fault an error is: ours, or that of a method that is not."""

from __future__ import annotations

from traceback import walk_tb

from secura_bench.errors import BenchError
from secura_bench.registry import METHODS


def plugin_fault(error: BaseException) -> str | None:
    """Return an error raised from within a method that is not ours, with file and line there; None for any other.

    What is written to be read, a ``BenchError``, is nobody's fault, whoever raises it.
    """
    if isinstance(error, BenchError):
        return None
    foreign = METHODS.foreign_packages()
    places = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] in foreign
    ]
    return f"{in_a_line(error)} ({places[-1]})" if places else None


def in_a_line(error: BaseException) -> str:
    """Return an error's kind and the first line of its text."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
