"""What scoring takes of a model, by protocol: each asks of the rows that it can score, and of no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from secura_bench.evaluation.protocols import PROTOCOLS

if TYPE_CHECKING:
    from secura_bench.data.example import Example


@dataclass(frozen=True)
class Reads:
    """Rows that are scored, tokens that go through the layers for it, and positions through the language model's head.

    Means and shares are none of whole numbers.
    """

    rows: float = 0.0
    tokens: float = 0.0
    positions: float = 0.0

    @property
    def mean(self) -> Reads:
        """Those of one row, on average."""
        return Reads(1, self.tokens / self.rows, self.positions / self.rows) if self.rows else Reads()

    def plus(self, other: Reads, times: float = 1.0) -> Reads:
        """Return these with so many ``times`` the other's."""
        return Reads(
            self.rows + times * other.rows,
            self.tokens + times * other.tokens,
            self.positions + times * other.positions,
        )


ByProtocol = Mapping[str, Reads]
"""What each protocol of a spec reads."""


def reads_of(protocols: Iterable[str], kind: str, examples: Sequence[Example], window: int) -> ByProtocol:
    """Return what ``protocols`` read of examples of a task of this kind; of plain text ``window`` tokens at once."""
    found = {}
    for name in protocols:
        scored = [examples[row] for row in PROTOCOLS[name].scorable(kind, examples)]
        found[name] = Reads(len(scored), *PROTOCOLS[name].reads(scored, window))
    return found


def summed(parts: Iterable[tuple[ByProtocol, float]]) -> ByProtocol:
    """Return the sum of parts, each so many times."""
    total: dict[str, Reads] = {}
    for part, times in parts:
        for name, reads in part.items():
            total[name] = total.get(name, Reads()).plus(reads, times)
    return total
