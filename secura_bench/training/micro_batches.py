"""Which rows of a step go through the model together: so many, or those of like length where padding costs most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from secura_bench.data.example import Example

PASS_TOKENS, PASS_TOKENS_ON_GPU = 32, 256
"""What a pass costs beside its tokens, as so many tokens more.

A pass reads every weight once, forth and back, however few its tokens are, and calls every operation once. On a core of
an AMD EPYC a pass of SmolLM2-135M takes 0.19 s + 6.5 ms a token with LoRA, 0.45 s + 8.2 ms where all is trained: as
much as 28 and 55 tokens; one of the tiny model as much as 70. On a GPU it is reasoned, not measured: weights of two
bytes keep the cores busy from peak FLOP/s / bandwidth tokens on: 153 on an A100, 206 on an H200, 295 on an H100. The
numbers are fixed, since another cut sums in another order: a run must not depend on how busy its machine is.
"""


def cuts(lengths: Sequence[int], pass_tokens: int, most: int | None = None) -> list[int]:
    """Return the ends of the parts into which rows, longest first, are cut so that all passes together cost least.

    A part of n rows costs n · its longest row + ``pass_tokens``: what is computed, padding too, and the pass itself.
    Attention's square is left out: padding costs a little more than is counted. The shortest path over all cuts, O(n²).
    A part of several rows has at most ``most`` tokens with its padding, where that is said.
    """
    costs, starts = [0.0], [0]
    for end in range(1, len(lengths) + 1):
        best, start = math.inf, end - 1
        for first in range(end - 1, -1, -1):
            tokens = (end - first) * lengths[first]
            if most is not None and tokens > most and first < end - 1:
                break  # from here on parts only grow
            if (cost := costs[first] + tokens + pass_tokens) < best:
                best, start = cost, first
        costs.append(best)
        starts.append(start)
    ends, end = [], len(lengths)
    while end:
        ends.append(end)
        end = starts[end]
    return ends[::-1]


@dataclass
class MicroBatches:
    """How one run's steps are divided into micro-batches, and over its processes.

    With ``auto`` no part has more tokens, padding counted, than the whole of a step has: a plan counts with those, and
    memory that runs out halves what a part may have.

    Attributes:
        size: rows at once; None for all, ``auto`` for cuts by length.
        pass_tokens: what a pass costs, in tokens.
        processes, index: how many processes divide a step, and which of them this is.
        most: with ``auto``, tokens at once once memory ran out.
    """

    size: int | Literal["auto"] | None
    pass_tokens: int = PASS_TOKENS
    processes: int = 1
    index: int = 0
    most: int | None = None

    def parts(self, rows: Sequence[Example]) -> list[list[Example]]:
        """Return all ``rows``, undivided over processes, as they go through the model: the longest first if cut."""
        if self.size == "auto":
            return self._cut(rows, 1)[0]
        size = self._rows(rows)
        return [list(rows[start : start + size]) for start in range(0, len(rows), size)]

    def shares(self, rows: Sequence[Example]) -> list[list[Example]]:
        """Return this process's micro-batches; every process gets as many, and rows that fill up weigh nothing."""
        if self.size == "auto":
            return self._cut(rows, self.processes)[self.index]
        batches = self.parts(rows)
        while len(batches) % self.processes:
            batches.append([replace(rows[0], weight=0.0)])
        return batches[self.index :: self.processes]

    def at_once(self, rows: Sequence[Example]) -> int:
        """Return how many of a step's ``rows`` go through the model at once, at most."""
        return max(map(len, self.shares(rows))) if self.size == "auto" else self._rows(rows)

    def halve(self, rows: Sequence[Example]) -> str:
        """Let half as much through the model at once, the gradient is the same sum; return what was done, in words."""
        if self.size == "auto":
            self.most = math.ceil(max(len(part) * len(part[0]) for part in self.parts(rows)) / 2)
            return f"micro_batch_size: auto takes {self.most} tokens at once at most from here on"
        self.size = math.ceil(self._rows(rows) / 2)
        return f"micro_batch_size halved to {self.size}"

    @property
    def state(self) -> int | None:
        """What memory allows, for a checkpoint: with ``auto`` tokens at once, else rows; None for all."""
        return self.most if self.size == "auto" else self.size

    @state.setter
    def state(self, state: int | None) -> None:
        if self.size == "auto":
            self.most = state
        else:
            self.size = state

    def _rows(self, rows: Sequence[Example]) -> int:
        said = None if self.size == "auto" else self.size
        return min(said or math.ceil(len(rows) / self.processes), len(rows))

    def _cut(self, rows: Sequence[Example], processes: int) -> list[list[list[Example]]]:
        """Return each process's parts. Sorted rows are dealt out in turn, so that all have about the same lengths.

        They are cut at the same places, by the longest row of each round: each process has as many parts.
        """
        ordered = sorted(rows, key=len, reverse=True)
        rounds = [len(row) for row in ordered[::processes]]
        ends = [0, *cuts(rounds, self.pass_tokens, self.most)]
        filler = replace(ordered[-1], weight=0.0)
        missing = len(rounds) * processes - len(rows)
        dealt = [*ordered, *[filler] * missing]
        return [[dealt[i::processes][a:b] for a, b in pairwise(ends)] for i in range(processes)]
