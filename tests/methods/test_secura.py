"""What follows from SECURA's equations and from the published code, pinned; and the golden numbers of that code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from secura_bench.adapters.cur import lowest_norm, sampled, sampling_probabilities
from secura_bench.adapters.cur_layers import CABRLinear, CURLoRALinear
from secura_bench.adapters.merging import Survival, merge_into
from secura_bench.adapters.secura_layers import PublicSecuraLinear, UnnormedSecuraLinear
from secura_bench.adapters.signorm import resting_restraint
from secura_bench.data.collate import collate
from secura_bench.methods.build import build_method
from secura_bench.methods.cur_adapter import layers

CASE = json.loads((Path(__file__).parent / "golden" / "public_code_case.json").read_text())[0]
H, D, RANK, M = CASE["out_features"], CASE["in_features"], CASE["r"], CASE["m"]


def tensor(values: list[float], *shape: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(*shape)


def golden_linear() -> nn.Linear:
    linear = nn.Linear(D, H, bias=CASE["bias"] is not None)
    linear.weight.data = tensor(CASE["weight"], H, D)
    return linear


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-5, rtol=0)


X = tensor(CASE["x"], 2, 3, D)


# --- golden numbers of the published code ---


def test_golden_cur_lora() -> None:
    linear, case = golden_linear(), CASE["cur"]
    layer = CURLoRALinear(linear, *lowest_norm(linear.weight, RANK))
    layer.U.data = tensor(case["U"], RANK, RANK)
    assert close(layer.C, tensor(case["cols"], H, RANK))
    assert close(layer.R, tensor(case["rows"], RANK, D))
    assert close(layer.delta(), tensor(case["delta"], H, D))
    assert close(layer(X), tensor(case["y"], 2, 3, H))


@pytest.mark.parametrize("rule", ["m1", "m2"])
def test_golden_public_secura(rule: str) -> None:
    linear, case = golden_linear(), CASE[rule]
    layer = PublicSecuraLinear(linear, *lowest_norm(linear.weight, RANK), M, merge=rule)
    assert close(layer.A, tensor(case["A_init"], RANK, M))
    assert close(layer(X), tensor(case["y_at_init"], 2, 3, H))
    layer.B.data = tensor(case["B"], M, RANK)
    assert close(layer.delta(), tensor(case["delta"], H, D))
    assert close(layer(X), tensor(case["y"], 2, 3, H))


def test_golden_cabr() -> None:
    linear, case = golden_linear(), CASE["m1"]
    layer = CABRLinear(linear, *lowest_norm(linear.weight, RANK), M)
    layer.B.data = tensor(case["B"], M, RANK)
    assert close(layer(X), tensor(case["y_only"], 2, 3, H))


# --- selection ---


def test_sampling_probabilities_against_the_formula() -> None:
    weight = torch.randn(5, 7)
    for dim in (0, 1):
        squares = [float((column**2).sum()) for column in (weight.T if dim == 0 else weight)]
        inverse = [1 / (square / sum(squares) + 0.001) for square in squares]
        expected = torch.tensor([value / sum(inverse) for value in inverse])
        assert torch.allclose(sampling_probabilities(weight, dim), expected, atol=1e-6)


def test_sampled_draws_by_these_probabilities_with_replacement() -> None:
    weight = torch.diag(torch.tensor([0.1, 1.0, 3.0]))
    columns, rows = sampled(weight, 30_000, seed=3)
    share = torch.bincount(columns, minlength=3) / len(columns)
    assert torch.allclose(share, sampling_probabilities(weight, 0), atol=0.02)
    assert len(set(columns.tolist())) == 3 and len(rows) == 30_000
    again = sampled(weight, 30_000, seed=3)
    assert torch.equal(again[0], columns) and torch.equal(again[1], rows)
    assert not torch.equal(sampled(weight, 30_000, seed=4)[0], columns)


def test_sampled_draws_differ_between_modules() -> None:
    weight = torch.randn(64, 64)
    first, second = sampled(weight, 30, 0, "layers.0.q_proj")[0], sampled(weight, 30, 0, "layers.1.q_proj")[0]
    assert (first == second).sum() < 10


# --- what follows from the equations ---


def trained(llama, examples, steps: int = 6, weight_decay: float = 0.0, spy=None, **options):
    """Train SECURA in a plain loop; return the model."""
    torch.manual_seed(0)
    method = build_method("secura", r=4, m=6, **options)
    model = method.attach(llama())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2, weight_decay=weight_decay)
    batch = collate(examples, pad_id=0)
    for _ in range(steps):
        loss = method.loss(model, batch)
        (loss.sum / loss.tokens).backward()
        if spy:
            spy(model)
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(model, optimizer)
    return method, model, batch


def test_m1_and_m2_are_one_run_at_fusion_step_1_without_weight_decay(llama, examples) -> None:
    logits = []
    for rule in ("m1", "m2"):
        _, model, batch = trained(llama, examples, merge=rule)
        logits.append(model(batch.input_ids).logits)
    assert torch.allclose(logits[0], logits[1], atol=1e-4)


def test_m2_differs_once_a_decays(llama, examples) -> None:
    logits = []
    for rule in ("m1", "m2"):
        _, model, batch = trained(llama, examples, merge=rule, weight_decay=5.0)
        logits.append(model(batch.input_ids).logits)
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)


@pytest.mark.parametrize("rule", ["m1", "m2"])
def test_m2_jumps_at_a_merge_and_m1_does_not(rule: str) -> None:
    """M2's model moves by C (A − A_f) B_f R, the share of what was merged before that A's change makes new."""
    linear = nn.Linear(10, 12)
    layer = UnnormedSecuraLinear(linear, *lowest_norm(linear.weight, 4), 6, merge=rule)
    with torch.no_grad():
        layer.B.normal_()
        layer.merge()
        A_f, B_f = layer.A.clone(), (layer.B_f.clone() if rule == "m2" else None)
        layer.A += 0.1 * torch.randn_like(layer.A)
        layer.B.normal_()
        before = layer.effective_weight()
        layer.merge()
        jump = layer.effective_weight() - before
        expected = layer.C @ (layer.A - A_f) @ B_f @ layer.R if rule == "m2" else torch.zeros_like(jump)
    assert torch.allclose(jump, expected, atol=1e-5)
    if rule == "m2":
        assert jump.abs().max() > 1e-2


def test_full_path_restrains_nearly_everywhere(llama, examples) -> None:
    """With fusion step > 1 Res is about 1.95 once B is not zero, and back at its resting value at the merge."""
    method = build_method("secura", r=4, m=6, fusion_step=3)
    model = method.attach(llama())
    module = next(layers(model))
    assert method.measures(model)["median_res"] == pytest.approx(resting_restraint(6.0), abs=1e-4)
    with torch.no_grad():
        for layer in layers(model):
            layer.base.weight[0, 0] = 1e-6  # the smallest entry decides
            layer.B.normal_(std=1e-3)
    assert method.measures(model)["median_res"] == pytest.approx(1.95, abs=0.01)
    module.merge()
    assert module.median_restraint() == pytest.approx(resting_restraint(6.0), abs=1e-4)


def test_public_code_without_bias_is_cabr_merged_every_step(llama, examples) -> None:
    """SigNorm never acts: the forward is that of CABR merged at each step, the gradient of B exactly half of its."""
    gradients: dict[str, list] = {"public": [], "cabr": []}

    def spy(into):
        return lambda model: into.append([layer.B.grad.clone() for layer in layers(model)])

    _, public, batch = trained(
        llama, examples, 1, signorm="public_code", adapter_bias=False, spy=spy(gradients["public"])
    )
    _, cabr, _ = trained(llama, examples, 1, signorm="off", spy=spy(gradients["cabr"]))
    for half, whole in zip(gradients["public"][0], gradients["cabr"][0], strict=True):
        assert torch.allclose(2 * half, whole, rtol=1e-5, atol=1e-9)
    for layer, other in zip(layers(public), layers(cabr), strict=True):
        other.K.copy_(layer.K)
    assert torch.allclose(public(batch.input_ids).logits, cabr(batch.input_ids).logits, atol=1e-5)


def test_public_m2_never_uses_what_it_accumulates(llama, examples) -> None:
    torch.manual_seed(0)
    start = llama()(collate(examples, pad_id=0).input_ids).logits
    _, model, batch = trained(llama, examples, merge="m2", signorm="public_code", adapter_bias=False)
    assert torch.allclose(model(batch.input_ids).logits, start, atol=1e-5)
    assert all(layer.B_f.abs().max() > 1e-3 for layer in layers(model))
    _, moved, batch = trained(llama, examples, merge="m2", signorm="public_code")
    assert not torch.allclose(moved(batch.input_ids).logits, start, atol=1e-3)


def test_public_code_with_a_bias_divides_everything(llama, examples) -> None:
    """From the first nonzero bias on every output is about 4/3 of y0."""
    linear = nn.Linear(10, 12)
    layer = PublicSecuraLinear(linear, *lowest_norm(linear.weight, 4), 6, adapter_bias=True)
    x = torch.randn(50, 10)
    assert torch.allclose(layer(x), linear(x), atol=1e-6)
    layer.adapter_bias.data += 1e-5
    assert (layer(x) / linear(x)).median().item() == pytest.approx(4 / 3, abs=1e-2)


def test_step_0_of_public_code_and_off_is_the_base(llama) -> None:
    ids = torch.randint(0, 64, (2, 9))
    for signorm in ("public_code", "off"):
        model = llama()
        base = model(ids).logits
        method = build_method("secura", r=4, m=6, signorm=signorm)
        assert method.starts_as_base
        assert torch.allclose(method.attach(model)(ids).logits, base, atol=1e-5)


# --- merges into low precision ---


def test_kept_is_below_one_in_bf16_and_one_in_the_core(llama, examples) -> None:
    torch.manual_seed(0)
    weight = 0.02 * torch.randn(256, 256)
    delta = 1e-5 * torch.randn(256, 256)
    low = merge_into(weight.to(torch.bfloat16), delta).figures
    assert low["kept"] < 0.9 and low["changed"] < 0.5
    high = merge_into(weight.double(), delta).figures
    assert high["kept"] == pytest.approx(1.0, abs=1e-3) and high["changed"] > 0.999


def test_survival_against_plain_formulas() -> None:
    before, delta = torch.randn(6, 5), 0.1 * torch.randn(6, 5)
    after = before + 0.5 * delta
    after[0] = before[0]
    change = after - before
    figures = Survival.of(before, after, delta).figures
    assert figures["norm_ratio"] == pytest.approx((change.norm() / delta.norm()).item(), rel=1e-4)
    assert figures["kept"] == pytest.approx(((change * delta).sum() / delta.norm() ** 2).item(), rel=1e-4)
    assert figures["changed"] == pytest.approx(25 / 30)
    assert Survival.of(before, before, torch.zeros(6, 5)).figures == {"norm_ratio": 1.0, "kept": 1.0, "changed": 0.0}


def test_merging_into_bf16_weights_loses_what_the_core_keeps(llama, examples) -> None:
    torch.manual_seed(0)
    method = build_method("secura", r=4, m=6, merge_dtype="base", signorm="off")
    model = method.attach(llama().to(torch.bfloat16))
    start = {path: p.clone() for path, p in model.named_parameters() if path.endswith("q_proj.base.weight")}
    for step in range(4):
        with torch.no_grad():
            for layer in layers(model):
                layer.B.normal_(std=1e-4 if step < 3 else 0.0)
        method.after_step(model, None)
    figures = method.measures(model)
    assert figures["merge_kept_total"] < 0.95
    assert 0 < figures["merge_changed_total"] < 1
    for layer in layers(model):
        assert torch.allclose(layer.effective_weight(), layer.base.weight.float())  # nothing is held beside the weight
    assert any(not torch.equal(start[path], p) for path, p in model.named_parameters() if path in start)


def test_merging_into_fp32_weights_is_the_core(llama, examples) -> None:
    outputs = []
    for where in ("core", "base"):
        _, model, batch = trained(llama, examples, merge_dtype=where)
        outputs.append(model(batch.input_ids).logits)
    assert torch.allclose(outputs[0], outputs[1], atol=1e-3)
