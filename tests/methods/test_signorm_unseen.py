"""SigNorm at fusion step 1 is one number for a matrix: what normalises queries, keys and attention divides it out."""

from __future__ import annotations

import pytest
import torch
import transformers

from secura_bench.methods.build import build_method
from secura_bench.methods.cur_adapter import layers

SIZES = {
    "vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip


def answers(family: str, signorm: str) -> torch.Tensor:
    """Return the logits of a model whose cores have moved, with SigNorm or without."""
    torch.manual_seed(1)
    if family == "gemma3":
        sizes = {**SIZES, "head_dim": 8, "sliding_window": 16, "initializer_range": 0.5}
        model = transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**sizes))
    else:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, initializer_range=0.5))
    method = build_method("secura", r=4, m=6, signorm=signorm)
    model = method.attach(model.eval())
    method.start(model)
    with torch.no_grad():
        for index, layer in enumerate(layers(model)):
            generator = torch.Generator().manual_seed(index)
            layer.B.copy_(0.1 * torch.randn(layer.B.shape, generator=generator))
        with method.evaluating(model) as view:
            return view(torch.arange(3, 20)[None]).logits.log_softmax(-1)


@pytest.mark.parametrize(("family", "seen"), [("gemma3", False), ("llama", True)])
def test_gemma_3_divides_it_out(family: str, seen: bool) -> None:
    apart = (answers(family, "paper") - answers(family, "off")).abs().max().item()
    assert (apart > 0.05) == seen and (apart < 1e-3) != seen
