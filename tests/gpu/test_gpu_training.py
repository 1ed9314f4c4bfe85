"""Training on CUDA: near the CPU's, resumable, rounded without bias, and surviving memory that runs out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sessions import Session, assert_resumes, build_model, tasks

from secura_bench.methods.build import build_method
from secura_bench.training.optimizers import StochasticAdamW, round_stochastically
from secura_bench.training.precision import weights_dtype

RANKS = {"r": 4, "m": 6}
METHODS = (
    ("seq", {}, 1e-3),
    ("ewc", {"fisher_samples": 4}, 1e-3),
    ("er", {"capacity": 8}, 1e-3),
    ("lora", {"dropout": 0.0}, 1e-2),
    ("dora", {"dropout": 0.0}, 1e-2),
    ("i_lora", {"consistency": "logits"}, 1e-2),
    ("i_lora", {"consistency": "hidden"}, 1e-2),
    ("cur_lora", {"r": 4}, 5e-2),
    ("cur_lora", {"r": 4, "selection": "sampled"}, 5e-2),
    ("cabr_lora", RANKS, 5e-2),
    ("secura", RANKS, 5e-2),
    ("secura", {**RANKS, "merge": "m2", "fusion_step": 3}, 5e-2),
    ("secura", {**RANKS, "signorm": "public_code"}, 5e-2),
    ("secura", {**RANKS, "merge_dtype": "base"}, 5e-2),
    ("stack", {"parts": [{"name": "lora", "dropout": 0.0}, {"name": "ewc", "fisher_samples": 4}, "er"]}, 1e-2),
)
EACH = pytest.mark.parametrize(("name", "options", "lr"), METHODS, ids=str)


def session(name: str, options: dict[str, Any], lr: float, device: str, precision: str = "fp32") -> Session:
    torch.manual_seed(0)
    model = build_model("llama").to(weights_dtype(precision))
    settings = {"lr": lr, "batch_size": 6, "precision": precision}
    return Session(model, build_method(name, **options), device, **settings)


def trained(*case: Any) -> list[Any]:
    """Return the reports of three steps on each of two tasks, boundary included."""
    ours = session(*case)
    return [report for task in tasks(2) for report in ours.task(task, 3)]


@EACH
@pytest.mark.parametrize(
    ("precision", "loss", "norm"), [("fp32", 1e-3, 1e-2), ("bf16", 0.05, 0.15), ("bf16_stochastic", 0.1, 0.25)]
)
def test_steps_are_near_the_cpus(
    device: str, name: str, options: Any, lr: float, precision: str, loss: float, norm: float
) -> None:
    """The CPU's are fp32, whatever CUDA's are; its own bf16 is as far from them: see docs/gpu.md."""
    theirs = trained(name, options, lr, "cpu")
    ours = trained(name, options, lr, device, precision)
    for mine, his in zip(ours, theirs, strict=True):
        assert math.isfinite(mine.loss) and math.isfinite(mine.grad_norm)
        assert mine.loss == pytest.approx(his.loss, rel=loss)
        assert mine.grad_norm == pytest.approx(his.grad_norm, rel=norm, abs=1e-3)


@EACH
def test_goes_on_as_if_it_had_never_stopped(
    device: str, deterministic: None, name: str, options: Any, lr: float
) -> None:
    """Bit by bit, in one order of computing; with dropout too, whose mask CUDA's own generator draws."""
    dropout = {"dropout": 0.3} if name in ("lora", "dora") else {}
    assert_resumes(lambda: session(name, {**options, **dropout}, lr, device, "bf16"), 4)


def test_an_adapter_starts_alike_on_every_device(device: str) -> None:
    for name, options, lr in METHODS:
        here, there = (session(name, options, lr, where).model for where in ("cpu", device))
        others = dict(there.named_parameters())
        for key, tensor in here.named_parameters():
            assert torch.allclose(tensor, others[key].cpu(), atol=1e-6), (name, key)


def test_rounding_is_unbiased(device: str) -> None:
    x = torch.full((400_000,), 1.001, device=device)
    rounded = round_stochastically(x)
    assert rounded.dtype == torch.bfloat16
    assert set(rounded.float().unique().tolist()) == {1.0, 1.0078125}
    assert rounded.double().mean().item() == pytest.approx(1.001, abs=4 * 0.0078125 * 0.5 / 400_000**0.5)


def test_stochastic_adamw_follows_adamw(device: str) -> None:
    """On average over many equal weights, of more than one chunk's worth of steps below bf16's spacing."""
    exact = torch.nn.Parameter(torch.full((1,), 0.7109375, device=device))
    rough = torch.nn.Parameter(torch.full((20_000,), 0.7109375, device=device, dtype=torch.bfloat16))
    pair = torch.optim.AdamW([exact], lr=1e-4), StochasticAdamW([rough], lr=1e-4)
    for step in range(100):
        gradient = 0.1 * math.sin(step) + 0.05
        for optimizer, weight in zip(pair, (exact, rough), strict=True):
            weight.grad = torch.full_like(weight, gradient)
            optimizer.step()
    moved = 0.7109375 - exact.item()
    assert 0.7109375 - rough.double().mean().item() == pytest.approx(moved, rel=0.05)


def test_memory_that_runs_out_halves_the_micro_batch(device: str) -> None:
    """A true one: the process may have little more than what a smaller batch takes."""
    ours = session("lora", {}, 1e-2, device, "bf16")
    rows = list(tasks(1, rows=16)[0].train) * 2000
    ours.loop.train = ours.loop.train.model_copy(update={"batch_size": len(rows)})
    task = tasks(1)[0]
    task = type(task)(task.name, task.index, rows, 1)
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    room = torch.cuda.memory_reserved() + 400 * 2**20
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        (report,) = ours.task(task, 1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert math.isfinite(report.loss)
    assert ours.loop.micro_batches.at_once(rows) < len(rows)
    assert "out of memory at step 1" in ours.loop.notes[0]
