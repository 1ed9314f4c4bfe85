"""Optimizers and precisions for large models: rounding that loses nothing on average, and what is trained."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
import torch
from conftest import SPEC, secura_bench

from secura_bench.data.collate import collate
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.groups import Group, groups_of
from secura_bench.training.optimizers import StochasticAdamW, missing_extra, new_optimizer, round_stochastically
from secura_bench.training.precision import prepare_training


@pytest.mark.parametrize("value", [1.001, -1.001, 3e-5, 12345.678, -0.3, 1e-39])
def test_rounding_is_to_a_neighbour_and_unbiased(value: float) -> None:
    x = torch.full((200_000,), value)
    rounded = round_stochastically(x)
    assert rounded.dtype == torch.bfloat16
    low = torch.tensor(value).view(torch.int32).bitwise_and(-(1 << 16)).view(torch.float32)
    high = (low.view(torch.int32) + (1 << 16)).view(torch.float32)
    assert set(rounded.float().unique().tolist()) <= {low.item(), high.item()}
    spacing = abs(high.item() - low.item())
    assert abs(rounded.double().mean().item() - x[0].double().item()) < 4 * spacing * 0.5 / 200_000**0.5
    share = (rounded.float() == high).double().mean().item()
    assert share == pytest.approx((x[0] - low).double().item() / (high - low).double().item(), abs=0.005)


def test_what_bf16_holds_is_not_rounded() -> None:
    x = torch.tensor([0.0, -0.0, 1.0, -2.5, float("inf"), -float("inf")])
    assert torch.equal(round_stochastically(x).float(), x)
    assert round_stochastically(torch.tensor([float("nan")])).isnan().all()


def test_small_updates_move_bf16_weights_on_average_and_not_without() -> None:
    """300 steps of 1e-5 on weights of 1: bf16's spacing there is 0.0078, so plain bf16 never moves."""
    moved = {}
    for name, optimizer in (("stochastic", StochasticAdamW), ("plain", torch.optim.AdamW)):
        weight = torch.nn.Parameter(torch.ones(20_000, dtype=torch.bfloat16))
        chosen = optimizer([weight], lr=1e-5, weight_decay=0.0)
        for _ in range(300):
            weight.grad = torch.ones_like(weight)
            chosen.step()
        moved[name] = 1 - weight.double().mean().item()
    assert moved["plain"] == 0
    assert moved["stochastic"] == pytest.approx(300e-5, rel=0.05)


def test_stochastic_adamw_follows_adamw() -> None:
    """On average over many equal weights it takes the steps of fp32's AdamW, its second moment included."""
    exact = torch.nn.Parameter(torch.full((1,), 0.7))
    rough = torch.nn.Parameter(torch.full((20_000,), 0.7, dtype=torch.bfloat16))
    start = rough[0].float().item()
    exact.data.fill_(start)
    settings = {"lr": 1e-3, "betas": (0.9, 0.999), "weight_decay": 0.1}
    optimizers = torch.optim.AdamW([exact], **settings), StochasticAdamW([rough], **settings)
    generator = torch.Generator().manual_seed(1)
    for _ in range(60):
        gradient = (1 + 0.5 * torch.randn((), generator=generator)).bfloat16()
        exact.grad, rough.grad = torch.full_like(exact, gradient), torch.full_like(rough, gradient)
        for optimizer in optimizers:
            optimizer.step()
    assert rough.double().mean().item() - start == pytest.approx(exact.item() - start, rel=0.02)


def test_state_survives_saving() -> None:
    def step(optimizer: StochasticAdamW, weight: torch.nn.Parameter) -> None:
        torch.manual_seed(5)
        weight.grad = torch.ones_like(weight)
        optimizer.step()

    first = torch.nn.Parameter(torch.ones(9, dtype=torch.bfloat16))
    one = StochasticAdamW([first], lr=0.1)
    step(one, first)
    second = torch.nn.Parameter(first.detach().clone())
    two = StochasticAdamW([second], lr=0.1)
    two.load_state_dict(one.state_dict())
    step(one, first)
    step(two, second)
    assert torch.equal(first, second)


def test_checkpointing_changes_no_gradient(llama, examples) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(3)
        method = build_method("seq")
        model = method.attach(llama()).train()
        prepare_training(model, TrainSpec(gradient_checkpointing=checkpointing))
        method.loss(model, collate(examples, 0)).sum.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_targets_alone_are_trained(llama) -> None:
    model = build_method("seq").attach(llama())
    prepare_training(model, TrainSpec(parameters="targets"))
    trained = {name.split(".")[-2] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"q_proj", "v_proj"}
    adapted = build_method("lora", target_modules=["o_proj"]).attach(llama())
    with pytest.raises(SpecError, match="nothing is trained in q_proj, v_proj"):
        prepare_training(adapted, TrainSpec(parameters="targets"))


@pytest.mark.parametrize("precision", ["bf16_pure", "bf16_stochastic"])
def test_runs_held_in_bf16(tmp_path, precision: str) -> None:
    ewc = "{name: ewc, device: cpu, fisher_samples: 3}"
    methods = f"[seq, lora, {{name: secura, r: 4, m: 6}}, {{name: cur_lora, r: 4}}, {ewc}]"
    text = SPEC.replace("[{name: lora, r: 2}]", methods).replace("separate", "sequence")
    text = text.replace("[tiny_group]", "[tiny_group, tiny_count]").replace(
        "[teacher_forced, generate]", "teacher_forced"
    )
    text = text.replace("batch_size: 2", f"batch_size: 2, precision: {precision}, gradient_checkpointing: true")
    (tmp_path / "spec.yaml").write_text(text)
    done = secura_bench("run", "spec.yaml", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("record.json"))) == 6


def test_full_fine_tuning_of_recast_weights_scores_its_own_start(tmp_path) -> None:
    text = SPEC.replace("[{name: lora, r: 2}]", "[seq, {name: lora, r: 2}]")
    text = text.replace("[teacher_forced, generate]", "teacher_forced")
    (tmp_path / "spec.yaml").write_text(text.replace("batch_size: 2", "batch_size: 2, precision: bf16"))
    assert secura_bench("run", "spec.yaml", "--quiet", cwd=tmp_path).returncode == 0
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("record.json")]
    starts = {r["method"]["label"]: any(s["after"] is None for s in r["scores"]) for r in records}
    assert starts == {"base": True, "seq": True, "lora-r-2": False}


def test_adafactor_trains(llama, examples) -> None:
    method = build_method("seq")
    model = method.attach(llama()).train()
    train = TrainSpec(lr=1e-2, optimizer="adafactor")
    optimizer = new_optimizer(groups_of(method, model, train), train)
    losses = []
    for _ in range(10):
        loss = method.loss(model, collate(examples, 0))
        losses.append(loss.sum.item())
        (loss.sum / loss.tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.8 * losses[0]
    with pytest.raises(ValueError, match="cannot round stochastically"):
        TrainSpec(optimizer="adafactor", precision="bf16_stochastic")


def test_eight_bits_need_an_extra() -> None:
    train = TrainSpec(optimizer="adamw_8bit")
    if find_spec("torchao") or find_spec("bitsandbytes"):
        assert missing_extra(train) is None
        return
    assert "pip install 'secura-bench[lowmem]'" in (missing_extra(train) or "")
    with pytest.raises(SpecError, match="needs torchao"):
        new_optimizer([Group(("w",), (torch.nn.Parameter(torch.ones(1)),), 1e-3, 0.0)], train)
