"""The order in which training rows are drawn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from secura_bench.foundation.generators import move, position_of
from secura_bench.spec.types import Sampling


class RowStream:
    """An endless, seeded, resumable stream of row numbers below ``size``.

    ``replacement`` draws every row uniformly, as the published code does; ``epochs`` deals all rows in a new random
    order before any comes again; ``sequential`` deals them in the order of their numbers.
    """

    def __init__(self, size: int, sampling: Sampling, seed: int | str) -> None:
        self.size = size
        self.sampling = sampling
        self._generator = random.Random(f"rows/{seed}")
        self._left: list[int] = []

    def draw(self, count: int) -> list[int]:
        """Return the next ``count`` row numbers."""
        if self.sampling == "replacement":
            return [self._generator.randrange(self.size) for _ in range(count)]
        numbers = []
        for _ in range(count):
            if not self._left:
                self._left = list(range(self.size))
                if self.sampling == "epochs":
                    self._generator.shuffle(self._left)
                else:
                    self._left.reverse()  # the last is dealt first
            numbers.append(self._left.pop())
        return numbers

    def state_dict(self) -> dict[str, Any]:
        """Return the stream's position as plain containers."""
        return {"generator": position_of(self._generator), "left": list(self._left)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position that ``state_dict`` returned."""
        move(self._generator, state["generator"])
        self._left = list(state["left"])


class MixedStream:
    """Draws from several pools at once, as if they stood in one row: a pool uniformly, then a row of it."""

    def __init__(self, sizes: Sequence[int], sampling: Sampling, seed: int | str) -> None:
        self._pools = [RowStream(size, sampling, f"{seed}/{i}") for i, size in enumerate(sizes)]
        self._starts = [sum(sizes[:i]) for i in range(len(sizes))]
        self._generator = random.Random(f"pools/{seed}")

    def draw(self, count: int) -> list[int]:
        """Return the next ``count`` row numbers, counted over all pools."""
        chosen = [self._generator.randrange(len(self._pools)) for _ in range(count)]
        return [self._starts[i] + self._pools[i].draw(1)[0] for i in chosen]

    def state_dict(self) -> dict[str, Any]:
        """Return the position of every pool and of the choice among them as plain containers."""
        return {"generator": position_of(self._generator), "pools": [pool.state_dict() for pool in self._pools]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position that ``state_dict`` returned."""
        move(self._generator, state["generator"])
        for pool, position in zip(self._pools, state["pools"], strict=True):
            pool.load_state_dict(position)
