"""Prompts read into a KV cache, from where answers go on."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.models.head import head_at
from secura_bench.models.unpadded import unpadded

_WORTH_IT = 4  # tokens


@dataclass
class Prompts:
    """A batch of B prompts that a model has read, padded on the left to P positions.

    Attributes:
        cache: the KV cache. mask: (B, P), 1 on real tokens. lengths: (B,) real tokens of each prompt.
        logits: (B, vocabulary), of the token that follows each prompt.
    """

    cache: Any
    mask: Tensor
    lengths: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Opening:
    """The tokens that all prompts begin with (the system message, an instruction), read once: ``cache`` has one row."""

    ids: tuple[int, ...] = ()
    cache: Any = None

    def begin(self, model: nn.Module, rows: int) -> Any:
        """Return a cache that goes on from the opening in so many rows."""
        if self.cache is None:
            return new_cache(model)
        device = next(model.parameters()).device
        return branch(self.cache, torch.zeros(rows, dtype=torch.long, device=device))

    @classmethod
    def of(cls, model: nn.Module, ids: tuple[int, ...]) -> Opening:
        """Let ``model`` read the tokens."""
        cache = new_cache(model)
        device = next(model.parameters()).device
        model(input_ids=torch.tensor([ids], device=device), past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cls(ids, cache)


NO_OPENING = Opening()


def read_opening(model: nn.Module, prompts: Sequence[Sequence[int]]) -> Opening:
    """Let ``model`` read what all prompts begin with, if that is worth it; each keeps a token of its own.

    Not where attention looks back a fixed way: padding lies behind the opening, and would count as distance.
    """
    config = config_of(model).get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if len(prompts) < 2 or kinds != {"full_attention"} or getattr(config, "sliding_window", None):
        return NO_OPENING
    low, high = min(map(tuple, prompts)), max(map(tuple, prompts))  # what these two share, all between them share
    length = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    length = min(length, min(map(len, prompts)) - 1)
    if length < _WORTH_IT:
        return NO_OPENING
    return Opening.of(model, low[:length])


def read_uncached(model: nn.Module, rows: Sequence[Sequence[int]], ends: Sequence[int], pad_id: int) -> Tensor:
    """Return the logits (N, vocabulary) at the last ``ends`` positions of each row, one row after another.

    Rows are padded on the right, and nothing is remembered; the head sees those positions alone.
    """
    device = next(model.parameters()).device
    ids = torch.full((len(rows), max(map(len, rows))), pad_id)
    mask, wanted = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for number, (row, end) in enumerate(zip(rows, ends, strict=True)):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
        wanted[number, len(row) - end : len(row)] = True
    with head_at(model, wanted.to(device)):
        output = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
    said: Tensor = output.logits[0]
    return said


def read(model: nn.Module, prompts: Sequence[Sequence[int]], pad_id: int, opening: Opening = NO_OPENING) -> Prompts:
    """Let ``model`` read a batch of prompts, which begin with ``opening``; the head sees their last positions alone."""
    device = next(model.parameters()).device
    done = len(opening.ids)
    longest = max(map(len, prompts)) - done
    ids = torch.full((len(prompts), longest), pad_id)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) + done :] = torch.tensor(prompt[done:])
        mask[row, longest - len(prompt) + done :] = 1
    ids, mask = ids.to(device), mask.to(device)
    positions = done + (mask.cumsum(dim=1) - 1).clamp(min=0)
    cache = opening.begin(model, len(prompts))
    with unpadded(model, mask):
        mask = torch.cat([mask.new_ones((len(prompts), done)), mask], dim=1)
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    return Prompts(cache, mask, mask.sum(dim=1), output.logits[:, -1])


def branch(cache: Any, rows: Tensor) -> Any:
    """Return a cache that goes on from the given rows of ``cache``, which stays as it is."""
    copied = copy.copy(cache)
    copied.layers = [copy.copy(layer) for layer in cache.layers]
    copied.batch_select_indices(rows)
    return copied


def new_cache(model: nn.Module) -> Any:
    """Return an empty KV cache for ``model``."""
    from transformers import DynamicCache

    return DynamicCache(config=config_of(model))


def config_of(model: nn.Module) -> Any:
    """Return the model's configuration, through a data-parallel wrapper."""
    inner: Any = model.module if hasattr(model, "module") else model
    return inner.config
