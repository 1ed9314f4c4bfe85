"""The mathematics of CUR adapters and SigNorm, each against an independent way of computing it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from secura_bench.adapters.cur import core_forward, core_weight, initial_a, lowest_norm
from secura_bench.adapters.secura_layers import SecuraLinear
from secura_bench.adapters.signorm import resting_restraint, restraint
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method


def layer(h: int = 12, d: int = 10, r: int = 4, m: int = 6, bias: bool = True, always_merged: bool = False):
    return secura(nn.Linear(d, h, bias=bias), r, m, always_merged=always_merged)


def secura(linear: nn.Linear, r: int, m: int, **options):
    return SecuraLinear(linear, *lowest_norm(linear.weight, r), m, **options)


@pytest.mark.parametrize(("h", "d", "r", "m"), [(12, 10, 4, 6), (8, 30, 5, 20), (40, 16, 7, 16)])
def test_a_is_the_slice_of_the_svd_product(h: int, d: int, r: int, m: int) -> None:
    """SECURA equation 3: U[:r,:] S V[:m,:]ᵀ, computed here by a full SVD."""
    weight = torch.randn(h, d, dtype=torch.float64)
    U, S, Vh = torch.linalg.svd(weight, full_matrices=False)
    by_svd = U[:r, :] @ torch.diag(S) @ Vh.T[:m, :].T
    assert torch.allclose(initial_a(weight, r, m).double(), by_svd, atol=1e-6)


def test_lowest_norm_is_ascending_and_stable() -> None:
    weight = torch.tensor([[3.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 1.0]])
    columns, rows = lowest_norm(weight, 3)
    # Squared column norms 9, 4, 0, 2; row norms 10, 0, 5.
    assert columns.tolist() == [2, 3, 1]
    assert rows.tolist() == [1, 2, 0]
    assert lowest_norm(torch.ones(4, 5), 3)[0].tolist() == [0, 1, 2]


def test_core_forward_is_the_update_applied() -> None:
    C, core, R, x = torch.randn(12, 4), torch.randn(4, 4), torch.randn(4, 10), torch.randn(2, 3, 10)
    assert torch.allclose(core_forward(x, C, core, R), x @ core_weight(C, core, R).T, atol=1e-4)


def restraint_by_entry(former: torch.Tensor, delta: torch.Tensor, scale: float, epsilon: float) -> torch.Tensor:
    """Equations 5 to 9 in plain Python, entry by entry."""
    h, d = former.shape
    M = [
        [
            abs((w + u) / (w + math.copysign(epsilon, w)))
            for w, u in zip(former[i].tolist(), delta[i].tolist(), strict=True)
        ]
        for i in range(h)
    ]
    largest = max(map(max, M))
    res = [[2 - 1 / (1 + math.exp(-(M[i][j] / (largest + epsilon) - 0.5) * scale)) for j in range(d)] for i in range(h)]
    return torch.tensor(res)


@pytest.mark.parametrize("scale", [4.0, 6.0, 8.0])
def test_restraint_against_plain_python(scale: float) -> None:
    former, delta = torch.randn(7, 5), 0.1 * torch.randn(7, 5)
    former[2, 3], former[0, 0] = 0.0, -0.0
    assert torch.allclose(restraint(former, delta, scale, 1e-10), restraint_by_entry(former, delta, scale, 1e-10))


def test_epsilon_has_the_sign_of_the_weight_and_zero_has_one_too() -> None:
    """Added plainly, ε would divide an entry of −ε by zero, and one entry would decide max M for the whole matrix."""
    former = torch.tensor([[-1e-10, 1e-10, 0.0, -0.0, 0.5, -0.5, 1e-30, -1e-30]])
    delta = torch.zeros_like(former)
    found = restraint(former, delta, 6.0, 1e-10)
    M = torch.tensor([[0.5, 0.5, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]])
    torch.testing.assert_close(found, 2 - torch.sigmoid((M - 0.5) * 6.0))
    torch.testing.assert_close(restraint(-former, -delta, 6.0, 1e-10), found, msg="a weight's sign decides nothing")
    moved = torch.full_like(former, 1e-3)
    assert restraint(former, moved, 6.0, 1e-10).isfinite().all()
    torch.testing.assert_close(restraint(-former, -moved, 6.0, 1e-10), restraint(former, moved, 6.0, 1e-10))


@pytest.mark.parametrize(("scale", "value"), [(4.0, 1.1192), (6.0, 1.0474), (8.0, 1.0180)])
def test_resting_restraint(scale: float, value: float) -> None:
    assert resting_restraint(scale) == pytest.approx(value, abs=5e-5)
    former = torch.randn(6, 6)
    assert torch.allclose(restraint(former, torch.zeros(6, 6), scale, 1e-10), torch.tensor(resting_restraint(scale)))


@pytest.mark.parametrize("bias", [True, False])
def test_merged_path_equals_full_path(bias: bool) -> None:
    """At fusion step 1 B is 0 in every forward; the thin path must be the guarded equations 5 to 9."""
    torch.manual_seed(1)
    thin = layer(bias=bias, always_merged=True)
    thin.K.normal_(std=0.05)
    x = torch.randn(5, 10)
    y = thin(x)
    thin.always_merged = False
    assert torch.allclose(y, thin(x), atol=1e-5)
    assert not torch.allclose(y, thin.base(x), atol=1e-2)


def test_merged_path_with_exact_zeros_in_the_weight() -> None:
    linear = nn.Linear(10, 12)
    with torch.no_grad():
        linear.weight[3, 4] = linear.weight[5, 0] = 0.0
    thin = secura(linear, 4, 6, always_merged=True)
    x = torch.randn(5, 10)
    y = thin(x)
    thin.always_merged = False
    assert torch.isfinite(y).all()
    assert torch.allclose(y, thin(x), atol=1e-6)


@pytest.mark.parametrize("always_merged", [True, False])
def test_gradient_of_a_is_exactly_zero_and_of_b_is_not(always_merged: bool) -> None:
    module = layer(always_merged=always_merged)
    module(torch.randn(5, 10)).square().sum().backward()
    assert torch.equal(module.A.grad, torch.zeros_like(module.A))
    assert module.B.grad.abs().max() > 1e-4


def test_gradient_of_b_by_finite_differences() -> None:
    """Res is a constant for the gradient, so at fusion step 1 the derivative is that of W_m / Res."""
    module = layer(always_merged=True).double()
    x, v = torch.randn(5, 10, dtype=torch.float64), torch.randn(5, 12, dtype=torch.float64)

    def loss() -> torch.Tensor:
        return (module(x) * v).sum()

    loss().backward()
    step = 1e-6
    for i, j in [(0, 0), (3, 2), (5, 3)]:
        with torch.no_grad():
            module.B[i, j] += step
            above = loss()
            module.B[i, j] -= 2 * step
            below = loss()
            module.B[i, j] += step
        assert module.B.grad[i, j].item() == pytest.approx(((above - below) / (2 * step)).item(), rel=1e-6)


def test_core_merge_equals_explicit_merge_over_50_steps() -> None:
    """Equation 10 in the core against W_former ← W_former + C A B R on the h×d matrix."""
    module = layer()
    former = module.base.weight.detach().clone().double()
    before = module.base.weight.detach().clone()
    C, R = module.C.double(), module.R.double()
    for _ in range(50):
        with torch.no_grad():
            module.A += 0.01 * torch.randn_like(module.A)
            module.B += 0.01 * torch.randn_like(module.B)
            former += C @ module.A.double() @ module.B.double() @ R
        module.merge()
        assert not module.B.any()
    in_core = module.base.weight.double() + C @ module.K.double() @ R
    assert torch.allclose(in_core, former, atol=1e-6)
    assert torch.equal(module.base.weight, before)


def test_m1_merge_keeps_the_unnormalised_weight() -> None:
    module = layer()
    with torch.no_grad():
        module.B.normal_()
    core = module.core().clone()
    module.merge()
    assert torch.allclose(module.core(), core, atol=1e-6)


@pytest.mark.parametrize("always_merged", [True, False])
def test_merged_weight_gives_the_adapters_forward(always_merged: bool) -> None:
    module = layer(always_merged=always_merged)
    with torch.no_grad():
        module.K.normal_(std=0.1)
        if not always_merged:
            module.B.normal_(std=0.1)
    x = torch.randn(3, 10)
    plain = nn.functional.linear(x, module.effective_weight(), module.base.bias)
    assert torch.allclose(module(x), plain, atol=1e-5)


def test_secura_starts_as_the_base_with_adapted_weights_divided(llama) -> None:
    model = llama()
    ids = torch.randint(0, 64, (2, 9))
    base = model(ids).logits
    model_divided = llama()
    model_divided.load_state_dict(model.state_dict())
    for path, module in model_divided.named_modules():
        if path.endswith(("q_proj", "v_proj")):
            module.weight.data /= 2 - 1 / (1 + math.exp(-3.0))
    adapted = build_method("secura", r=4, m=6).attach(model)
    assert torch.allclose(adapted(ids).logits, model_divided(ids).logits, atol=1e-5)
    assert not torch.allclose(adapted(ids).logits, base, atol=1e-3)


@pytest.mark.parametrize("name", ["base", "seq", "lora"])
def test_other_methods_start_as_the_base(llama, name: str) -> None:
    model = llama()
    ids = torch.randint(0, 64, (2, 9))
    base = model(ids).logits.clone()
    assert torch.equal(build_method(name).attach(model).eval()(ids).logits, base)


def test_trainable_tensors(llama) -> None:
    names = {
        name.rpartition(".")[2]
        for name, parameter in build_method("secura", r=4, m=6).attach(llama()).named_parameters()
        if parameter.requires_grad
    }
    assert names == {"A", "B"}
    lora = {
        name.split(".")[-3]
        for name, parameter in build_method("lora").attach(llama()).named_parameters()
        if parameter.requires_grad
    }
    assert lora == {"lora_A", "lora_B"}
    count = build_method("secura", r=4, m=6).count_parameters(build_method("secura", r=4, m=6).attach(llama()))
    assert count.trainable == 2 * 2 * (4 * 6 + 6 * 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r": 17, "m": 20}, "v_proj (16×32).*at most 16"),
        ({"r": 4, "m": 33}, "q_proj (32×32).*at most 32"),
        ({"r": 6, "m": 6}, "must be more than r"),
        ({"target_modules": ["w_proj"]}, "Did you mean"),
        ({"target_modules": ["mlp"]}, "LlamaMLP"),
        ({"rank": 4}, "unknown key 'rank'"),
        ({"r": -1}, "greater than 0"),
        ({"r": 2.5}, "whole number"),
    ],
)
def test_options_that_do_not_fit_are_refused(llama, options: dict, message: str) -> None:
    with pytest.raises(SpecError) as error:
        build_method("secura", **options).attach(llama())
    import re

    assert re.search(message.replace("(", r"\(").replace(")", r"\)"), str(error.value))


def test_fractions_of_the_hidden_size(llama) -> None:
    model = build_method("secura", r=0.125, m=0.25).attach(llama())
    module = model.model.layers[0].self_attn.q_proj
    assert module.A.shape == (4, 8)
    assert module.C.shape == (32, 4)
    assert module.R.shape == (4, 32)


def test_fusion_step_counts_optimizer_steps(llama) -> None:
    method = build_method("secura", r=4, m=6, fusion_step=3)
    model = method.attach(llama())
    module = model.model.layers[0].self_attn.q_proj
    optimizer = torch.optim.SGD([module.A, module.B], lr=0.1)
    for step in range(1, 7):
        with torch.no_grad():
            module.B.fill_(0.1)
        method.after_step(model, optimizer)
        assert (module.B.abs().sum() == 0) == (step % 3 == 0)
    assert method.state_dict()["steps"] == 6
