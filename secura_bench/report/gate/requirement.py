"""One requirement as it is typed: ``kept >= 95``, ``learned >= base``, ``learned.rouge1 >= lora - 2``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from secura_bench.foundation.errors import BenchError

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_WHOLE = re.compile(
    rf"(?P<what>kept|learned)(?:\.(?P<metric>[\w:.-]+))?\s*(?P<relation>>=|<=)\s*"
    rf"(?:(?P<number>-?(?:{_NUMBER}))|(?P<of>\S.*?)(?:\s+(?P<sign>[+-])\s*(?P<offset>{_NUMBER}))?)"
)


@dataclass(frozen=True)
class Requirement:
    """What must hold of every method.

    Attributes:
        text: as it was typed.
        what: kept, in percent of the base's score on the probe, or learned, in points of the metric.
        metric: by which; "" is each protocol's main one.
        sign: 1 if the score must not lie below the bound, -1 if not above it.
        of: whose score the bound is, ``base`` or a method; None where it is the number alone.
        bound: the number, or what comes on top of that score.
    """

    text: str
    what: Literal["kept", "learned"]
    metric: str
    sign: Literal[1, -1]
    of: str | None
    bound: float


def requirements(texts: Sequence[str]) -> list[Requirement]:
    """Return what each text requires.

    Raises:
        BenchError: It is none; the message says how one is written.
    """
    return [_requirement(text) for text in texts]


def _requirement(text: str) -> Requirement:
    found = _WHOLE.fullmatch(text.strip())
    if found is None:
        raise BenchError(
            f"--require {text!r}: is no requirement. Write kept or learned, >= or <=, and a number, base or a method, "
            "as in 'kept >= 95', 'learned >= base', 'learned.rouge1 >= lora - 2'."
        )
    what: Literal["kept", "learned"] = "kept" if found["what"] == "kept" else "learned"
    if what == "kept" and found["of"] == "base":
        raise BenchError(f"--require {text!r}: kept is in percent of the base's own score; write a number, as 95.")
    bound = float(found["number"] or found["offset"] or 0) * (-1 if found["sign"] == "-" else 1)
    return Requirement(
        text.strip(), what, found["metric"] or "", 1 if found["relation"] == ">=" else -1, found["of"], bound
    )
