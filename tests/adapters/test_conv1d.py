"""Adapters on GPT-2's fused projection, a Conv1D, whose weight is stored as d×h: exact, and counted."""

from __future__ import annotations

import copy
from typing import Any

import peft
import pytest
import torch
from sessions import Session, assert_resumes, build_model, rows_of, tasks
from torch.nn import functional as F

from secura_bench.adapters.conv1d import as_linear
from secura_bench.adapters.cur import lowest_norm, sampling_probabilities
from secura_bench.adapters.cur_layers import CURLoRALinear
from secura_bench.adapters.peft_layers import lora_layers
from secura_bench.data.collate import collate
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.models.head import answer_logits
from secura_bench.models.shape import Shape

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"r": 4, "dropout": 0.0},
    "dora": {"r": 4, "dropout": 0.0},
    "cur_lora": {"r": 4, "selection": "sampled"},
    "cabr_lora": {"r": 4, "m": 6},
    "secura": {"r": 4, "m": 6, "fusion_step": 2},
    "i_lora": {"r": 4},
    "o_lora": {"r": 4, "dropout": 0.0},
}
EVERY = pytest.mark.parametrize("name", METHODS)


def method_of(name: str, **more: Any) -> Any:
    return build_method(name, **METHODS[name], target_modules=["c_attn"], **more)


def gpt2() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model("gpt2")


def test_a_conv1d_is_a_linear_layer_bit_for_bit() -> None:
    stored = gpt2().transformer.h[0].attn.c_attn
    linear, x = as_linear(stored), torch.randn(2, 5, 32)
    assert (linear.in_features, linear.out_features) == (32, 96)
    assert torch.equal(linear(x), stored(x))
    assert linear.weight.data_ptr() == stored.weight.data_ptr() and linear.bias is stored.bias
    assert as_linear(linear) is linear


@EVERY
def test_a_trained_model_is_the_one_with_its_weights(name: str) -> None:
    """The forward is that of a plain GPT-2 whose stored weights are W + Δ transposed, after merges too."""
    ours = Session(gpt2(), method_of(name), lr=5e-2)
    for task in tasks(2):
        ours.task(task, 3)
    plain = gpt2()
    batch = collate(rows_of(7, 4), pad_id=0)
    with torch.no_grad():
        before = answer_logits(plain, batch)
        for path, weight in ours.method.weights(ours.model):
            plain.get_submodule(path.removeprefix("base_model.model.")).weight.copy_(weight.T)
        with ours.method.evaluating(ours.model.eval()) as view:
            logits = answer_logits(view, batch)
        assert torch.allclose(logits, answer_logits(plain, batch), atol=1e-4)
    assert (logits - before).abs().max() > 1e-2, "it learned nothing, so this test shows nothing"


@EVERY
def test_what_is_planned_is_what_is_attached(name: str) -> None:
    method = method_of(name)
    count = method.count_parameters(method.attach(gpt2()))
    planned = method_of(name).footprint().count_on_shapes(gpt2())
    assert (planned.trainable, planned.total, planned.held) == (count.trainable, count.total, count.held)


@pytest.mark.parametrize("name", ["lora", "cur_lora", "i_lora"])
def test_a_cut_off_run_goes_on_to_the_same(name: str) -> None:
    assert_resumes(lambda: Session(gpt2(), method_of(name), lr=5e-2), at=2)


def test_a_lora_is_pefts_own() -> None:
    """With ``fan_in_fan_out``, so that a stock adapter says of itself what it is on."""
    config = peft.LoraConfig(r=4, lora_alpha=16, target_modules=["c_attn"], fan_in_fan_out=True)
    torch.manual_seed(1)
    stock = peft.get_peft_model(gpt2(), config)
    torch.manual_seed(1)
    ours = method_of("lora", alpha=16).attach(gpt2())
    assert ours.peft_config["default"].fan_in_fan_out
    assert [t.shape for t in ours.state_dict().values()] == [t.shape for t in stock.state_dict().values()]
    with pytest.raises(SpecError, match=r"olora does not fit transformer\.h\.0\.attn\.c_attn, a Conv1D; take pissa"):
        method_of("lora", init_lora_weights="olora").attach(gpt2())


def test_cur_as_stored_and_transposed_are_one_update() -> None:
    """CURLoRA's code decomposes the stored matrix S = Wᵀ: S + C' U' R', C' columns of S, R' rows of it.

    These are rows and columns of W, with the same norms and odds, and U' trains as U transposed: AdamW looks at each
    entry by itself. So the two are one method, and there is nothing to choose.
    """
    torch.manual_seed(2)
    stored = gpt2().transformer.h[0].attn.c_attn
    S, W = stored.weight.detach(), as_linear(stored).weight.detach()
    for ours, theirs in zip(lowest_norm(W, 4), reversed(lowest_norm(S, 4)), strict=True):
        assert torch.equal(ours, theirs)
    for dim in (0, 1):
        assert torch.equal(sampling_probabilities(W, dim), sampling_probabilities(S, 1 - dim))
    columns, rows = torch.tensor([3, 1, 1, 30]), torch.tensor([90, 0, 17, 5])
    layer = CURLoRALinear(as_linear(copy.deepcopy(stored)), columns, rows)
    C, R = S[:, rows], S[columns, :]
    U = torch.nn.Parameter(torch.zeros(4, 4))
    optimizers = [torch.optim.AdamW([parameter], lr=0.1) for parameter in (layer.U, U)]
    x, target = torch.randn(6, 32), torch.randn(6, 96)
    for _ in range(5):
        for optimizer, output in zip(optimizers, (layer(x), x @ (S + C @ U @ R) + stored.bias.detach()), strict=True):
            optimizer.zero_grad()
            F.mse_loss(output, target).backward()
            optimizer.step()
    assert layer.U.abs().min() > 1e-2
    assert torch.allclose(layer.U, U.T, atol=1e-5)
    assert torch.allclose(layer.effective_weight(), (S + C @ U @ R).T, atol=1e-4)


def test_the_published_counts_of_trained_numbers() -> None:
    """CURLoRA, tables 1 and 2: GPT-2 Large at rank 8, and query, key and value of Mistral-7B at rank 16."""
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        large = GPT2LMHeadModel(GPT2Config(n_embd=1280, n_layer=36, n_head=20))
    of_gpt2 = build_method("cur_lora", r=8, target_modules=["c_attn"]).footprint().count_on_shapes(large)
    assert of_gpt2.trainable == 2304
    mistral = Shape("mistral", 4096, 14336, 32, 32, 8, 128, 32768, False, False, 32768).skeleton()
    targets = ["q_proj", "k_proj", "v_proj"]
    assert (
        build_method("cur_lora", r=16, target_modules=targets).footprint().count_on_shapes(mistral).trainable == 24576
    )
    lora = build_method("lora", r=16, target_modules=targets).footprint().count_on_shapes(mistral)
    assert lora.trainable == 9_437_184


def test_a_lora_of_gain_one() -> None:
    """CURLoRA's LoRA is scaled by its alpha of 1 alone, which is ``alpha`` = ``r`` here: ΔW = B A."""
    model = build_method("lora", r=16, alpha=16, dropout=0, target_modules=["c_attn"]).attach(gpt2())
    for _, layer in lora_layers(model):
        A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        assert A.abs().max() <= 32**-0.5 and A.abs().max() > 0.9 * 32**-0.5 and not B.any()
        torch.nn.init.normal_(B)
        assert torch.allclose(layer.get_delta_weight("default").T, B @ A, atol=1e-5)
