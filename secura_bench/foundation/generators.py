"""Where one of Python's generators of random numbers stands, for a checkpoint."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any


def position_of(generator: random.Random) -> list[Any]:
    """Return the generator's position as plain containers."""
    version, internal, gauss = generator.getstate()
    return [version, list(internal), gauss]


def move(generator: random.Random, position: Sequence[Any]) -> None:
    """Let the generator go on from what ``position_of`` returned."""
    version, internal, gauss = position
    generator.setstate((version, tuple(internal), gauss))
