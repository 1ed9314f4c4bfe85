"""The kinds of values that a publication's file has, and what each must be."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field

from secura_bench.foundation.errors import unknown_name
from secura_bench.foundation.registry import PROTOCOLS


def _protocol(name: str) -> str:
    if name not in PROTOCOLS.names():
        raise ValueError(unknown_name("protocol", name, PROTOCOLS.names()))
    return name


def _shares(shares: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    if any(not 0 <= rows <= of or of == 0 for rows, of in shares):
        raise ValueError("each share is [ROWS, OF ALL], not more than all, and all are more than none")
    if sum(Fraction(rows, of) for rows, of in shares) != 1:
        said = " + ".join(f"{rows}/{of}" for rows, of in shares)
        raise ValueError(f"the shares of all classes make one, and {said or 'none'} does not: name each class's")
    return shares


Protocol = Annotated[str, AfterValidator(_protocol)]
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Shares = Annotated[tuple[tuple[int, int], ...], AfterValidator(_shares)]
"""Of each class how many of the scored rows it has, as ``[rows, of all]``."""
