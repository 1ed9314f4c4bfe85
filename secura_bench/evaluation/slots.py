"""Answers written side by side, a waiting prompt in the place of each that has ended: continuous batching.

While prompts wait and slots are free, the next prompts are read as a batch of their own, and put beside the rows that
go on; else every row gets its next token. The KV cache is aligned on the right, so that the next token of all rows is
one new column: what is narrower gets masked columns on its left, behind what all prompts begin with. What leaves takes
its columns with it: the cache is as wide as the longest row in it, and no wider.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.evaluation.prompt_cache import NO_OPENING, Opening, read

_REFILLED = 8  # a prompt alone is read when so small a part of the slots is free: 1/8


@dataclass
class Rows:
    """B rows, each a prompt with what was answered to it, of which the last token is not read yet.

    Attributes:
        numbers: which prompt each is of. tokens: (B,) the last of each. lengths: (B,) how many stand before it.
        cache: the KV cache. mask: (B, W), 1 on what was read. shared: how many columns the opening takes, on the left.
    """

    numbers: list[int]
    tokens: Tensor
    lengths: Tensor
    cache: Any
    mask: Tensor
    shared: int

    @classmethod
    def read(
        cls, model: nn.Module, prompts: Sequence[Sequence[int]], numbers: list[int], pad_id: int, opening: Opening
    ) -> Rows:
        """Let ``model`` read the prompts that are numbered, and say the first token of each answer."""
        from secura_bench.evaluation.roomy_cache import make_roomy

        said = read(model, [prompts[number] for number in numbers], pad_id, opening)
        make_roomy(said.cache)
        return cls(numbers, said.logits.argmax(dim=-1), said.lengths, said.cache, said.mask, len(opening.ids))

    def step(self, model: nn.Module) -> Tensor:
        """Let ``model`` read the last token of every row, and say the next; return its logits (B, vocabulary)."""
        self.mask = torch.cat([self.mask, self.mask.new_ones((len(self.numbers), 1))], dim=1)
        logits: Tensor = model(
            input_ids=self.tokens[:, None],
            attention_mask=self.mask,
            position_ids=self.lengths[:, None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self.tokens, self.lengths = logits.argmax(dim=-1), self.lengths + 1
        return logits

    def keep(self, kept: Sequence[int]) -> None:
        """Let all other rows leave."""
        rows = torch.tensor(kept, dtype=torch.long, device=self.mask.device)
        self.cache.batch_select_indices(rows)
        self.numbers = [self.numbers[row] for row in kept]
        self.tokens, self.lengths, self.mask = self.tokens[rows], self.lengths[rows], self.mask[rows]
        if kept:
            self._widen(int(self.lengths.max()))

    def join(self, others: Rows) -> None:
        """Put ``others`` beside these, which are used up."""
        width = max(self.mask.shape[1], others.mask.shape[1])
        self._widen(width)
        others._widen(width)
        for mine, other in zip(self.cache.layers, others.cache.layers, strict=True):
            if mine.is_initialized:
                mine.keys = torch.cat([mine.keys, other.keys])
                mine.values = torch.cat([mine.values, other.values])
        self.numbers = self.numbers + others.numbers
        self.tokens = torch.cat([self.tokens, others.tokens])
        self.lengths = torch.cat([self.lengths, others.lengths])
        self.mask = torch.cat([self.mask, others.mask])

    def _widen(self, width: int) -> None:
        """Make the cache so wide, by columns that are masked in every row: more of them, or fewer."""
        if width == self.mask.shape[1]:
            return
        for layer in self.cache.layers:
            if layer.is_initialized:
                columns = width
                if layer.is_sliding:
                    columns = min(width, layer.sliding_window - 1)
                    layer.cumulative_length = width
                layer.keys = _widened(layer.keys, columns, self.shared, dim=2)
                layer.values = _widened(layer.values, columns, self.shared, dim=2)
        self.mask = _widened(self.mask, width, self.shared, dim=1)


@torch.no_grad()
def answer(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    pad_id: int,
    stop_ids: Collection[int],
    slots: int,
    max_new_tokens: int,
    opening: Opening = NO_OPENING,
) -> Iterator[tuple[int, list[int]]]:
    """Yield the number of each prompt and its most likely continuation, in the order in which they end.

    A continuation ends with a stop token or after ``max_new_tokens``. So many ``slots`` are answered at once.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    rows: Rows | None = None
    begun = 0

    def said(new: Rows) -> Iterator[tuple[int, list[int]]]:
        """Add the tokens that were said to their answers; let the rows whose answers end by them leave."""
        going = []
        for row, (number, token) in enumerate(zip(new.numbers, new.tokens.tolist(), strict=True)):
            answers[number].append(token)
            if token in stop_ids or len(answers[number]) == max_new_tokens:
                yield number, answers[number]
            else:
                going.append(row)
        if len(going) < len(new.numbers):
            new.keep(going)

    while begun < len(prompts) or (rows and rows.numbers):
        going = len(rows.numbers) if rows else 0
        free = slots - going
        if begun < len(prompts) and (not going or free * _REFILLED >= slots):
            taken = list(range(begun, min(begun + free, len(prompts))))
            new = Rows.read(model, prompts, taken, pad_id, opening)
            begun += len(taken)
            yield from said(new)
            if rows and rows.numbers:
                rows.join(new)
            else:
                rows = new
        elif rows:
            rows.step(model)
            yield from said(rows)


def _widened(tensor: Tensor, width: int, shared: int, dim: int) -> Tensor:
    """Return a tensor of so many columns: its first ``shared`` and its last, with nothing or zeros between."""
    own = min(width, tensor.shape[dim]) - shared
    between = list(tensor.shape)
    between[dim] = width - shared - own
    begin, end = tensor.narrow(dim, 0, shared), tensor.narrow(dim, tensor.shape[dim] - own, own)
    return torch.cat([begin, tensor.new_zeros(between), end], dim=dim)
