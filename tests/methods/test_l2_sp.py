"""L2-SP: its closed form on the weights and on LoRA's product, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sessions import Session, assert_resumes, build_model, rows_of

from secura_bench.adapters.peft_layers import lora_layers
from secura_bench.data.collate import collate
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.lending import attached


def stack(*parts: Any) -> Any:
    return build_method("stack", parts=[*parts, {"name": "l2_sp", "alpha": 0.3}])


def test_it_is_half_the_squared_distance_and_pulls_straight_back() -> None:
    method = build_method("l2_sp", alpha=0.3)
    model = attached(method, build_model("llama"))
    batch = collate(rows_of(0, 2), pad_id=0)
    assert method.loss(model, batch).terms["l2_sp"].item() == 0
    moved = {name: 0.1 * torch.randn_like(p) for name, p in model.named_parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter += moved[name]
    term = method.loss(model, batch).terms["l2_sp"]
    term.backward()
    expected = 0.15 * sum(change.double().square().sum() for change in moved.values())
    assert term.item() == pytest.approx(expected.item(), rel=1e-4)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, 0.3 * moved[name], rtol=1e-3, atol=1e-6)
    count = method.count_parameters(model)
    assert count.held == count.trainable and method.footprint().held_memory(count) == (4 * count.held, 0)


def test_on_lora_it_is_the_norm_of_the_change_of_the_weights() -> None:
    method = stack({"name": "lora", "r": 3, "alpha": 12})
    model = attached(method, build_model("llama"))
    batch = collate(rows_of(0, 2), pad_id=0)
    assert method.loss(model, batch).terms["l2_sp"].item() == 0
    total = torch.zeros((), dtype=torch.float64)
    gradients = {}
    for path, layer in lora_layers(model):
        A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        torch.nn.init.normal_(B, std=0.3)
        change = 4 * B.detach().double() @ A.detach().double()
        total += 0.15 * change.square().sum()
        gradients[path] = (0.3 * 4 * B.detach().T.double() @ change, 0.3 * 4 * change @ A.detach().T.double())
    term = method.terms(model, batch, torch.empty(0))["l2_sp"]
    term.backward()
    assert term.item() == pytest.approx(total.item(), rel=1e-4)
    for path, layer in lora_layers(model):
        for matrix, gradient in zip((layer.lora_A, layer.lora_B), gradients[path], strict=True):
            torch.testing.assert_close(matrix["default"].weight.grad, gradient.float(), rtol=1e-3, atol=1e-5)
    assert method.count_parameters(model).held == 0


@pytest.mark.parametrize("before", ["er", "lora"])
def test_resumes_in_a_stack(before: str) -> None:
    def session() -> Session:
        torch.manual_seed(2)
        return Session(build_model("llama"), stack(before))

    assert assert_resumes(session, 3).reports[-1].terms["l2_sp"] > 0


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        ("dora", "lora_magnitude_vector"),
        ({"name": "cur_lora", "r": 4, "boundary": "continue"}, r"by which .*\.U changes"),
        ({"name": "peft", "peft_type": "ia3"}, "by which .*ia3_l"),
        ({"name": "lora", "init_lora_weights": "pissa"}, "begins elsewhere"),
    ],
)
def test_adapters_whose_change_is_another_are_refused(adapter: Any, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        attached(stack(adapter), build_model("llama"))


def test_what_merges_is_refused() -> None:
    with pytest.raises(SpecError, match="'l2_sp' holds trained weights near an anchor, and 'lora' merges"):
        stack({"name": "lora", "boundary": "merge"})
