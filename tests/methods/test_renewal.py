"""Adapters of PEFT that are merged at a boundary and made again from the merged weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sessions import Session, assert_resumes, build_model, new_method, tasks

from secura_bench.adapters.peft_layers import tuner_layers
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.dora import DoRA
from secura_bench.methods.lora import LoRA
from secura_bench.methods.method import Method
from secura_bench.methods.peft_tuner import Peft
from secura_bench.methods.stack import Stack

IDS = torch.tensor([[5, 6, 7, 8, 9]])
RENEWED: dict[str, tuple[type[Method], dict[str, Any]]] = {
    "lora": (LoRA, {"r": 4}),
    "lora, pissa": (LoRA, {"r": 4, "init_lora_weights": "pissa"}),
    "dora": (DoRA, {"r": 4}),
    "peft lora, olora": (Peft, {"peft_type": "lora", "config": {"r": 4, "init_lora_weights": "olora"}}),
    "peft lora, mica": (Peft, {"peft_type": "lora", "config": {"r": 4, "init_lora_weights": "mica"}}),
    "peft lora, patterns": (
        Peft,
        {
            "peft_type": "lora",
            "config": {"target_modules": "all-linear", "rank_pattern": {"q_proj": 3}, "use_rslora": True},
        },
    ),
    "osf": (Peft, {"peft_type": "osf", "config": {"effective_rank": 8}}),
}


def session(case: str, boundary: str = "renew", **train: Any) -> Session:
    torch.manual_seed(2)
    method, options = RENEWED[case]
    return Session(build_model("llama"), new_method(method, **options, boundary=boundary), **train)


def bases(ours: Session) -> dict[str, np.ndarray]:
    """Return the weights beneath the adapters, as they are now, in fp64."""
    return {path: layer.get_base_layer().weight.detach().double().numpy() for path, layer in tuner_layers(ours.model)}


def weights(ours: Session) -> dict[str, np.ndarray]:
    """Return the weights that the modules compute with, in fp64."""
    return {path: weight.detach().double().numpy() for path, weight in ours.method.weights(ours.model)}


@pytest.mark.parametrize("case", RENEWED)
def test_a_boundary_keeps_what_is_computed_and_makes_the_adapter_of_it(case: str) -> None:
    ours = session(case)
    first = tasks(2)[0]
    ours.begin(first)
    ours.steps(first, 4)
    trained, position = ours.model.eval()(IDS).logits, torch.get_rng_state()
    objects = {name: id(parameter) for name, parameter in ours.model.named_parameters()}
    adapter = {name: p.detach().clone() for name, p in ours.model.named_parameters() if p.requires_grad}
    ours.method.end_task(ours.model, first)
    torch.testing.assert_close(ours.model.eval()(IDS).logits, trained, rtol=0, atol=1e-5)
    assert {name: id(parameter) for name, parameter in ours.model.named_parameters()} == objects
    assert all(not torch.equal(p, adapter[name]) for name, p in ours.model.named_parameters() if name in adapter)
    assert torch.equal(torch.get_rng_state(), position), "the next rows and dropout are drawn as without a boundary"
    assert ours.method.measures(ours.model)["merge_kept_step"] == pytest.approx(1)


def test_nothing_is_renewed_after_the_last_task() -> None:
    ours = session("osf")
    for task in (tasks(1)[0], tasks(2)[1]):
        ours.task(task, 2)
        assert not ours.method.measures(ours.model)


@pytest.mark.parametrize("name", ["lora", "peft"])
def test_pissa_is_the_svd_of_the_merged_weight(name: str) -> None:
    """W_res + (α/r) B A, with B = U √S and A = √S Vᵀ of the first r singular values (arXiv 2404.02948, section 3)."""
    options = {"r": 4, "init_lora_weights": "pissa"}
    torch.manual_seed(2)
    wanted = {"peft_type": "lora", "config": {**options, "lora_alpha": 16}} if name == "peft" else options
    ours = Session(build_model("llama"), build_method(name, **wanted, boundary="renew"))
    first = tasks(2)[0]
    ours.begin(first)
    ours.steps(first, 4)
    merged = weights(ours)
    ours.method.end_task(ours.model, first)
    for path, layer in tuner_layers(ours.model):
        U, S, Vt = np.linalg.svd(merged[path])
        A, B = (part["default"].weight.detach().double().numpy() for part in (layer.lora_A, layer.lora_B))
        np.testing.assert_allclose(4 * B @ A, (U[:, :4] * S[:4]) @ Vt[:4], atol=1e-5)
        np.testing.assert_allclose(B.T @ B, np.diag(S[:4]) / 4, atol=1e-5)
        np.testing.assert_allclose(bases(ours)[path], (U[:, 4:32] * S[4:]) @ Vt[4 : len(S)], atol=1e-5)


def changes(boundary: str, **config: Any) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return of each module what the second task changed, and what the SVD of the weight before it says is frozen."""
    torch.manual_seed(2)
    options = {"peft_type": "osf", "config": {"effective_rank": 8, **config}}
    ours = Session(build_model("llama"), new_method(Peft, **options, boundary=boundary))
    first, second = tasks(2)
    ours.task(first, 6)
    before = weights(ours)
    ours.task(second, 6)
    after = weights(ours)
    found = []
    for path, weight in before.items():
        U, _, Vt = np.linalg.svd(weight)
        found.append((after[path] - weight, U[:, :8], Vt[:8]))
    assert {change.shape for change, _, _ in found} == {(32, 32), (16, 32)}
    return found


def test_osf_changes_nothing_in_the_directions_that_it_keeps() -> None:
    for change, U, Vt in changes("renew"):
        assert np.abs(change).max() > 1e-2
        assert np.abs(U.T @ change).max() < 1e-6 and np.abs(change @ Vt.T).max() < 1e-6


def test_without_renewal_osf_keeps_other_directions() -> None:
    """AdamW turns projected gradients into updates that are not, and the directions are those of the first start."""
    assert all(np.abs(U.T @ change).max() > 1e-3 for change, U, _ in changes("continue"))


def test_osf_on_a_tall_weight_keeps_them_too() -> None:
    """Of a weight with more rows than columns PEFT holds the other side's frozen vectors."""
    torch.manual_seed(2)
    options = {"peft_type": "osf", "target_modules": ["up_proj"], "config": {"effective_rank": 8}}
    ours = Session(build_model("llama"), new_method(Peft, **options, boundary="renew"))
    before = weights(ours)
    ours.task(tasks(1)[0], 6)
    for path, after in weights(ours).items():
        U, S, Vt = np.linalg.svd(before[path])
        assert after.shape[0] > after.shape[1]
        change, near = after - before[path], 1e-6 * S[7] / (S[7] - S[8])  # two values that are close are hard to part
        assert np.abs(change).max() > 1e-2
        assert np.abs(U[:, :8].T @ change).max() < near and np.abs(change @ Vt[:8].T).max() < near


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("case", ["lora, pissa", "dora", "peft lora, mica", "osf"])
def test_killed_after_a_boundary_it_ends_the_same(case: str, at: int) -> None:
    assert_resumes(lambda: session(case), at)


@pytest.mark.parametrize(("boundary", "steps"), [("renew", 3.0), ("continue", 7.0)])
def test_the_optimizer_begins_anew_with_what_is_renewed(boundary: str, steps: float) -> None:
    ours = session("lora", boundary)
    first, second = tasks(2)
    ours.task(first, 4)
    ours.task(second, 3)
    assert {float(state["step"]) for state in ours.loop.optimizer.state.values()} == {steps}


def test_what_is_drawn_depends_on_seed_and_boundary_alone() -> None:
    drawn = []
    for disturbed in (False, True):
        ours = session("lora")
        for task in tasks(3)[:2]:
            ours.task(task, 1)
            if disturbed:
                torch.rand(3)
            drawn.append([layer.lora_A["default"].weight.clone() for _, layer in tuner_layers(ours.model)])
    once, twice, again, again_twice = drawn
    assert all(map(torch.equal, once, again)) and all(map(torch.equal, twice, again_twice))
    assert not any(map(torch.equal, once, twice))


def test_osf_is_held_to_directions_that_are_orthogonal_in_bf16_too() -> None:
    """By vectors rounded to bf16 each projection would shrink or grow what is trained, step after step."""
    torch.manual_seed(2)
    options = {"peft_type": "osf", "config": {"effective_rank": 8}, "boundary": "renew"}
    ours = Session(build_model("llama").bfloat16(), new_method(Peft, **options), lr=0.0)
    trained = [p.detach().clone() for p in ours.model.parameters() if p.requires_grad]
    for _ in range(200):
        ours.method.after_step(ours.model, ours.loop.optimizer)
    for was, now in zip(trained, (p for p in ours.model.parameters() if p.requires_grad), strict=True):
        torch.testing.assert_close(now, was, rtol=0, atol=1e-5)


def test_a_base_in_bf16_is_rounded_once() -> None:
    torch.manual_seed(2)
    options = {"peft_type": "osf", "config": {"effective_rank": 8}, "boundary": "renew"}
    ours = Session(build_model("llama").bfloat16(), new_method(Peft, **options))
    first = tasks(2)[0]
    ours.begin(first)
    ours.steps(first, 4)
    expected = {}
    for path, layer in tuner_layers(ours.model):
        U, S, V = (layer.osf_svd_params["default"][name].detach().double() for name in ("U_low", "S_low", "V_low"))
        was = (getattr(layer, f"_osf_{name}_low_init")["default"].double() for name in "USV")
        U0, S0, V0 = was
        expected[path] = layer.get_base_layer().weight.double() + (U * S) @ V - (U0 * S0) @ V0
    ours.method.end_task(ours.model, first)
    for path, layer in tuner_layers(ours.model):
        weight = layer.get_base_layer().weight
        assert weight.dtype == torch.bfloat16
        assert (weight.double() - expected[path]).abs().max() <= 2**-8 * expected[path].abs().max()
        assert (weight == expected[path].to(torch.bfloat16)).double().mean() > 0.99


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"peft_type": "adalora", "config": {"total_step": 5}}, "over the whole run"),
        ({"peft_type": "vera"}, "PEFT's vera is not made again from merged weights here; osf and lora are"),
        ({"peft_type": "lora", "config": {"init_lora_weights": False}}, "init_lora_weights: false starts away"),
        ({"peft_type": "osf", "config": {"init_weights": False}}, "init_weights: false starts away"),
    ],
)
def test_refused_when_the_options_are_read(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Peft.Options.model_validate({**options, "boundary": "renew"})


def test_a_lora_that_starts_away_from_the_base_is_refused() -> None:
    with pytest.raises(ValidationError, match="would move the model at every boundary"):
        LoRA.Options.model_validate({"init_lora_weights": False, "boundary": "renew"})


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"modules_to_save": ["lm_head"]}, "lm_head.modules_to_save.default.weight is trained as well"),
        ({"lora_bias": True}, "lora_B.default.bias is trained as well"),
        ({"bias": "all", "target_modules": ["q_proj"]}, None),  # a llama has none
        ({"target_modules": ["embed_tokens"]}, "embed_tokens is a Embedding"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "shares its weight"),
        ({"alora_invocation_tokens": [3]}, "a ALoraLinearVariant is no weight"),
    ],
)
def test_refused_on_the_model(config: dict[str, Any], told: str | None) -> None:
    method = new_method(Peft, peft_type="lora", config={"r": 2, **config}, boundary="renew")
    if told is None:
        method.attach(build_model("llama"))
        return
    with pytest.raises(SpecError, match=told):
        method.attach(build_model("llama"))


def test_stacked() -> None:
    """Replay goes with it; an anchor of the trained tensors means nothing once they are made again."""
    osf = {"name": "peft", "peft_type": "osf", "boundary": "renew"}
    stack = build_method("stack", parts=[osf, "er"])
    assert isinstance(stack, Stack) and stack.renews and stack.merges
    with pytest.raises(ValidationError, match="'peft' merges them away"):
        Stack.Options.model_validate({"parts": [osf, "ewc"]})


def test_options_from_before_are_told_as_before() -> None:
    """A key that is there where nothing asked for it would move the fingerprints of runs that are done."""
    assert "boundary" not in new_method(Peft, peft_type="osf").options.model_dump(mode="json")
    assert new_method(Peft, peft_type="osf", boundary="renew").options.model_dump(mode="json")["boundary"] == "renew"
