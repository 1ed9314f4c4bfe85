"""Templates of strangers within bounds: of time, of memory, and of what one operation of theirs makes."""

from __future__ import annotations

import os
import resource
import signal
import threading
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.filters import do_round
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS = 5.0
"""Of computing, for one rendering; a usual one takes less than a thousandth."""

MEMORY = 1 << 30
"""Bytes, beside what the process has when a rendering begins."""

DIGITS = 4300
"""Python's own limit for numbers that become text."""

LENGTH = 10**8
"""Of a text or list that a multiplication makes."""

_AGAIN = 0.5  # seconds after which the alarm goes off once more: what it raised may have been swallowed
_PAGE = resource.getpagesize()
_SIZE = Path("/proc/self/statm")


class BoundsError(TemplateError):
    """A template that would take more than it may."""


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, in which no single multiplication, division, power or rounding runs for ever.

    While one of them runs, nothing can interrupt it: it is refused before.
    """

    intercepted_binops = frozenset({"*", "**", "/", "//", "%"})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.filters["round"] = _round

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return what ``operator`` makes of ``left`` and ``right``.

        Raises:
            BoundsError: It would be a number of more than ``DIGITS`` digits or a sequence longer than ``LENGTH``.
        """
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
            _refuse_long(bits)
        elif operator == "*":
            count, items = (left, right) if isinstance(left, int) else (right, left)
            if isinstance(count, int) and hasattr(items, "__len__") and count * len(items) > LENGTH:
                raise BoundsError(f"it multiplies a text or list to more than {LENGTH:,} items")
        return super().call_binop(context, operator, left, right)


def _round(value: Any, precision: int = 0, method: Any = "common") -> Any:
    """Return Jinja2's ``round``, which computes 10 to the power of ``precision``."""
    _refuse_long(4 * abs(precision))
    return do_round(value, precision, method)


def _refuse_long(bits: int) -> None:
    if bits > 4 * DIGITS:
        raise BoundsError(f"it computes with numbers of more than {DIGITS:,} digits")


class bounded:  # noqa: N801 - a context manager; written as a generator it takes longer than what it bounds
    """Bound what a template may take while it is compiled or rendered: ``SECONDS`` and ``MEMORY``.

    Time is the process's own, so that a pause is none. It is looked at between operations: one built-in function that
    does not return is not ended. Memory is bounded where the system tells what a process has (Linux). Both hold in the
    main thread alone: signals and limits are the whole process's.

    Raises:
        BoundsError: It takes more.
    """

    limits: tuple[int, int] | None = None

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        size = _ready(os.getpid())
        self.limits = soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if size is not None:
            allowed = int(os.pread(size, 64, 0).split(maxsplit=1)[0]) * _PAGE + MEMORY
            most = allowed if soft == resource.RLIM_INFINITY else min(allowed, soft)
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, _AGAIN)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.limits is None:
            return
        resource.setrlimit(resource.RLIMIT_AS, self.limits)
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        except BoundsError:  # just now
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            raise
        if kind is not None and issubclass(kind, MemoryError):
            raise BoundsError(f"it takes more than {MEMORY >> 30} GiB of memory") from None


@cache
def _ready(process: int) -> int | None:
    """Let the timer's signal raise, from now on: nothing else here uses it.

    Return the open file in which the system keeps the size of ``process``, which is this one; None where it does not.
    """
    signal.signal(signal.SIGVTALRM, _too_long)
    return os.open(_SIZE, os.O_RDONLY) if _SIZE.exists() else None


def _too_long(number: int, frame: Any) -> None:
    raise BoundsError(f"it takes more than {SECONDS:g} seconds")
