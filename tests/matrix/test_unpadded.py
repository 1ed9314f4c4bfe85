"""Padding that goes through no MLP: the same bits, whatever the architecture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import example, random_llama
from torch import Tensor, nn
from zoo import build

from secura_bench.data.collate import Batch, collate
from secura_bench.evaluation.prompt_cache import read
from secura_bench.models import unpadded as kept_out
from secura_bench.models.head import answer_logits
from secura_bench.models.unpadded import unpadded

KEPT_OUT = ("gemma3", "gemma3-vision", "gpt-neo", "gpt-neox", "llama", "phi3", "qwen3")
COMPUTED = ("gpt2", "mixtral", "qwen3-moe")
"""Architectures that have no MLPs of that name, or more in them than linear layers."""


def batch() -> Batch:
    """Return rows of unlike length: 190 tokens, and two of padding, in 5 × 70 positions."""
    return collate([example(length, 4, seed) for seed, length in enumerate((70, 50, 40, 20, 10))], 2)


def widths_of(model: nn.Module) -> list[tuple[int, int]]:
    """Note, from now on, what each of the model's MLPs is called with."""
    seen: list[tuple[int, int]] = []
    for name, module in model.named_modules():
        if name.endswith(".mlp"):
            forward = module.forward

            def noted(hidden: Tensor, *more: Any, forward: Any = forward) -> Any:
                seen.append((hidden.shape[0], hidden.shape[1]))
                return forward(hidden, *more)

            module.forward = noted  # type: ignore[method-assign]
    return seen


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", [*KEPT_OUT, *COMPUTED])
def test_no_bit_moves(name: str) -> None:
    model, rows = build(name), batch()
    expected = answer_logits(model, rows)
    seen = widths_of(model)
    with unpadded(model, rows.attention_mask):
        assert torch.equal(answer_logits(model, rows), expected)
    assert ((1, 192) in seen) == (name in KEPT_OUT)
    assert ((5, 70) in seen) == (name in COMPUTED)
    model(rows.input_ids)
    assert (5, 70) in seen  # behind the context all is as before


def test_no_bit_moves_where_padding_is_on_the_left() -> None:
    model, prompts = build("llama"), [example(length, 1, length).read_ids for length in (70, 50, 40, 20, 10)]
    seen = widths_of(model)
    after = read(model, prompts, 2)
    assert (1, 192) in seen
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_out, "_WORTH_IT", 0.0)
        before = read(model, prompts, 2)
    assert seen[-1] == (5, 70)
    assert torch.equal(after.logits, before.logits)
    real = before.mask.bool()
    for layer, other in zip(after.cache.layers, before.cache.layers, strict=True):
        assert torch.equal(layer.keys.transpose(1, 2)[real], other.keys.transpose(1, 2)[real])


@pytest.mark.parametrize("why", ["even", "bf16", "autocast", "hook", "mixes tokens"])
def test_padding_is_computed(why: str) -> None:
    """Where it is little, where a product's rows might depend on one another, and where someone looks at the MLPs."""
    rows = collate([example(40, 4, seed) for seed in range(5)], 2) if why == "even" else batch()
    model = random_llama().to(torch.bfloat16 if why == "bf16" else torch.float32)
    for layer in model.model.layers:  # type: ignore[union-attr]
        if why == "hook":
            layer.mlp.register_forward_hook(lambda *_: None)  # type: ignore[union-attr]
        elif why == "mixes tokens":
            layer.mlp = Shifted()
    seen = widths_of(model)
    with torch.autocast("cpu", torch.bfloat16, enabled=why == "autocast"), unpadded(model, rows.attention_mask):
        answer_logits(model, rows)
    assert set(seen[-2:]) == {tuple(rows.input_ids.shape)}


class Shifted(nn.Module):
    """What is called an MLP, and lets a token see the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 32)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the map of each token's sum with the last one of the batch."""
        return self.linear(hidden + hidden[:, -1:])  # type: ignore[no-any-return]
