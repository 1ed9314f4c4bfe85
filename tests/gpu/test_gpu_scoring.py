"""Scoring on CUDA says of every row what the CPU says, in fp32; in bf16 nearly."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from secura_bench.data.dataset import load_data
from secura_bench.evaluation.evaluate import Evaluation, evaluate
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import load_task

TASKS = {"teacher_forced": "tiny_choice", "choice": "tiny_choice", "generate": "tiny_arith", "perplexity": "tiny_text"}


@pytest.fixture(scope="module")
def scored(tiny: Any) -> Any:
    """Return a function that scores the tiny model on a device and in a dtype."""
    model, chat, _ = tiny

    def on(protocol: str, device: str, dtype: torch.dtype, size: int = 16) -> Evaluation:
        rows = load_data(TASKS[protocol], DataSpec(rows=300), chat).test[:24]
        moved = copy.deepcopy(model).to(device, dtype).eval()
        return evaluate(protocol, moved, load_task(TASKS[protocol]), rows, chat, size, 600)

    return on


@pytest.mark.parametrize("protocol", TASKS)
@pytest.mark.parametrize(
    ("dtype", "loss", "same"), [(torch.float32, 1e-3, 0.95), (torch.bfloat16, 0.05, 0.8)], ids=["fp32", "bf16"]
)
def test_items_are_the_cpus(
    device: str, scored: Any, protocol: str, dtype: torch.dtype, loss: float, same: float
) -> None:
    """Each row's loss within ``loss`` of 1 + the CPU's fp32 one, and as many of the texts and answers the same."""
    ours, theirs = scored(protocol, device, dtype), scored(protocol, "cpu", torch.float32)
    assert ours.n == theirs.n > 0
    for mine, his in zip(ours.columns.get("loss", ()), theirs.columns.get("loss", ()), strict=True):
        assert (mine is None) == (his is None)
        if mine is not None:
            assert abs(mine - his) <= loss * (1 + his)
    pairs = list(zip(ours.predictions, theirs.predictions, strict=True))
    assert sum(a.text == b.text and a.correct == b.correct for a, b in pairs) >= same * len(pairs)


@pytest.mark.parametrize("protocol", ["teacher_forced", "choice", "generate"])
def test_the_batch_moves_no_score_in_fp32(device: str, scored: Any, protocol: str) -> None:
    one, many = (scored(protocol, device, torch.float32, size) for size in (1, 16))
    pairs = list(zip(one.predictions, many.predictions, strict=True))
    assert sum(a.text == b.text and a.correct == b.correct for a, b in pairs) >= 0.95 * len(pairs)
    for mine, his in zip(one.columns.get("loss", ()), many.columns.get("loss", ()), strict=True):
        assert mine == pytest.approx(his, abs=1e-3)
