"""Rows of a source of a method's own: a fixed share of them for each new row, or a sample once."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from secura_bench.data.example import Example
from secura_bench.data.streams import RowStream
from secura_bench.foundation.errors import SpecError


def sample_of(source: str, rows: Sequence[Example], count: int, seed: int) -> tuple[Example, ...]:
    """Return ``count`` of the ``rows`` that ``source`` has, each once, as ``seed`` draws them.

    Raises:
        SpecError: There are fewer.
    """
    if count > len(rows):
        raise SpecError(f"rows: {count} are asked for, and {source} has {len(rows)} to give; set rows: {len(rows)}.")
    return tuple(random.Random(f"sample/{seed}").sample(list(rows), count))


class GeneralRows:
    """Deals ⌊ratio · n⌋ rows in all after n new ones: exact for any ratio, and drawn in no step by chance.

    Rows come in a random order, seeded, each once before any comes again. ``ratio`` counts as the decimal that it is
    written as, so that 0.1 is a tenth.
    """

    def __init__(self, ratio: float, seed: int) -> None:
        self.ratio = Fraction(repr(ratio))
        self.seed = seed
        self.new = 0
        self.hold(())

    def hold(self, rows: Sequence[Example]) -> None:
        """Deal these rows from now on."""
        self.rows = rows
        self._stream = RowStream(len(rows), "epochs", f"general/{self.seed}")

    def draw(self, new: int) -> list[Example]:
        """Return the rows that are due once ``new`` more rows are trained on."""
        dealt = int(self.ratio * self.new)
        self.new += new
        return [self.rows[i] for i in self._stream.draw(int(self.ratio * self.new) - dealt)]

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the rows as plain containers; the rows are handed over anew."""
        return {"new": self.new, "stream": self._stream.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.new = state["new"]
        self._stream.load_state_dict(state["stream"])
