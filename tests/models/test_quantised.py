"""Weights held in few bits: what they stand for by the papers' own numbers, and that nothing moves them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import random_llama
from few_bits import REASON, folder, held_in
from torch import Tensor, nn
from torch.nn import functional as F

pytest.importorskip("bitsandbytes", reason=REASON)

from secura_bench.foundation.errors import DataError
from secura_bench.models.load import ModelFolder, load_model
from secura_bench.models.quantised import dense_weight, is_quantised, product, scalars
from secura_bench.spec.loading import LoadSpec

NF4 = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]  # fmt: skip
"""The 4-bit numbers of QLoRA (Dettmers et al. 2023, arXiv 2305.14314, appendix E)."""


def nearest_nf4(weight: Tensor) -> Tensor:
    """Return the nearest weight whose blocks of 64 are numbers of NF4 times their largest magnitude."""
    blocks = weight.reshape(-1, 64)
    scales = blocks.abs().amax(dim=1, keepdim=True)
    levels = torch.tensor(NF4)
    return (levels[(blocks / scales).unsqueeze(-1).sub(levels).abs().argmin(-1)] * scales).view_as(weight)


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    return {path: module for path, module in model.named_modules() if isinstance(module, nn.Linear)}


def test_four_bits_are_the_papers_numbers() -> None:
    whole = linears(load_model(folder()))
    for path, module in linears(held_in(4, double_quant=False)).items():
        if is_quantised(module):
            torch.testing.assert_close(dense_weight(module), nearest_nf4(whole[path].weight), atol=1e-6, rtol=0)


def test_scales_in_eight_bits_are_near_those_in_full() -> None:
    single, double = (linears(held_in(4, double_quant=said)) for said in (False, True))
    for path, module in double.items():
        if is_quantised(module):
            one, two = dense_weight(single[path]), dense_weight(module)
            assert 0 < (one - two).norm() / one.norm() < 0.02


def test_eight_bits_are_127ths_of_a_rows_largest() -> None:
    """LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339, section 2.1), of a weight in fp16."""
    whole = linears(load_model(folder()))
    model = held_in(8)
    for _ in range(2):  # the first forward puts the scales elsewhere
        for path, module in linears(model).items():
            if is_quantised(module):
                weight = whole[path].weight.detach().half().float()
                scales = weight.abs().amax(dim=1, keepdim=True)
                expected = (weight * 127 / scales).round() * scales / 127
                step = scales / 127  # a weight between two of them may fall to either, in other arithmetic
                assert ((dense_weight(module) - expected).abs() <= step * 1.001).all()
                assert (dense_weight(module) - expected).abs().gt(step / 2).float().mean() < 0.01
        model(input_ids=torch.arange(10)[None])


def test_head_embeddings_and_norms_are_whole_and_all_are_counted() -> None:
    for bits in (4, 8):
        model = held_in(bits)
        few = {path for path, module in model.named_modules() if is_quantised(module)}
        assert few == {path for path in linears(model) if path != "lm_head"}
        assert sum(map(scalars, model.parameters())) == sum(p.numel() for p in load_model(folder()).parameters())


@pytest.mark.parametrize("bits", [4, 8])
def test_a_product_is_the_modules_without_its_bias(bits: int) -> None:
    model, x = held_in(bits, bias=True), torch.randn(3, 5, 64)
    module = model.model.layers[0].self_attn.q_proj
    bias = module.bias
    torch.testing.assert_close(product(module, x) + bias, module(x))
    assert module.bias is bias


def test_scoring_moves_no_bit() -> None:
    """Some CPUs would pack the weights anew in the first forward of eval mode, and round their scales to bf16."""
    model, ids = held_in(4), torch.arange(12)[None]
    before = {path: dense_weight(module) for path, module in linears(model).items()}
    with torch.no_grad():
        model.eval()(input_ids=ids)
        said = model(input_ids=ids).logits
    for path, module in linears(model).items():
        assert torch.equal(dense_weight(module), before[path])
    module, x = model.model.layers[1].mlp.up_proj, torch.randn(4, 64)
    assert torch.equal(module(x), F.linear(x, dense_weight(module)))
    assert torch.equal(model.train()(input_ids=ids).logits, said)


def test_modules_compute_in_the_dtype_that_is_said() -> None:
    x = torch.randn(4, 64)
    for said, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), (None, torch.float32)):
        module = held_in(4, compute_dtype=said).model.layers[0].mlp.gate_proj
        assert module.compute_dtype == dtype
        expected = F.linear(x.to(dtype), dense_weight(module).to(dtype)).float()
        torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=0)


def test_a_width_that_a_cpu_reads_wrongly_is_refused(tmp_path: Path) -> None:
    """bitsandbytes 0.50 gives blocks of a row their own scales there, and takes the next ones' for a row's rest."""
    random_llama(hidden_size=64, intermediate_size=96).save_pretrained(tmp_path)
    found = ModelFolder("odd", tmp_path, "of this process", load=LoadSpec(bits=4))
    with pytest.raises(DataError, match=r"down_proj reads 96 numbers.*set model_load.bits: 8"):
        load_model(found)
    load_model(replace(found, load=LoadSpec(bits=8)))
