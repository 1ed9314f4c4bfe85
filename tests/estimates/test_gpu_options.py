"""gpu-check's options, as far as a CPU can compute them: how steps are compared, and that each side is what it says."""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from few_bits import REASON
from forked import together

sys.path.insert(0, str(ROOT / "scripts"))
import gpu_options
import gpu_page
import gpu_shard
from gpu_steps import LORA, Steps, Taken, loaded, rows, taken, train_of

from secura_bench.models.answer_loss import CHUNK
from secura_bench.models.quantised import is_quantised
from secura_bench.training import kernels
from secura_bench.training.micro_batches import PASS_TOKENS, PASS_TOKENS_ON_GPU, MicroBatches
from secura_bench.training.precision import new_accelerator

PAIRS = {pair.name: pair for pair in gpu_options.PAIRS}


def steps(loss: float = 1.0, gradient: float = 1.0, weight: float = 1.0) -> Taken:
    return Taken([2.0, loss], [torch.ones(4), torch.tensor([gradient, 0.0])], torch.tensor([weight]))


@pytest.mark.parametrize(
    ("ours", "bound", "within"),
    [
        (steps(), None, True),
        (steps(loss=1.0000001), None, False),
        (steps(gradient=1.000001), None, False),
        (steps(weight=1.000001), None, False),
        (steps(loss=1.001, gradient=1.04, weight=9.0), {"loss": 0.001, "gradient": 0.05}, True),
        (steps(loss=1.003), {"loss": 0.001, "gradient": 0.05}, False),
        (steps(gradient=0.94), {"loss": 0.001, "gradient": 0.05}, False),
        (steps(loss=float("nan")), {"loss": 0.001, "gradient": 0.05}, False),
        (steps(gradient=float("nan")), {"loss": 0.001, "gradient": 0.05}, False),
    ],
)
def test_steps_are_held_to_their_bounds_or_to_every_bit(ours: Taken, bound: Any, within: bool) -> None:
    assert gpu_options.apart(ours, steps(), bound)["within"] == within


def test_rows_are_cut_and_chunked_on_every_device() -> None:
    batch = rows()[: train_of(Steps(), "fp32").batch_size]
    for pass_tokens in (PASS_TOKENS, PASS_TOKENS_ON_GPU):
        assert len(MicroBatches("auto", pass_tokens).parts(batch)) > 1
    assert sum(row.supervised for row in batch) > CHUNK


def test_each_option_is_one_of_training_and_has_bounds_for_each_precision() -> None:
    assert len(PAIRS) == len(gpu_options.PAIRS)
    for pair in PAIRS.values():
        for precision in gpu_options.PRECISIONS:
            assert train_of(pair.ours, precision).precision == precision
            assert pair.bounds is None or set(pair.bounds[precision]) == {"loss", "gradient"}


def test_what_this_machine_has_not_is_left_out_with_the_reason(monkeypatch: Any) -> None:
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    monkeypatch.setattr(gpu_options, "PAIRS", [PAIRS["offload: activations"], PAIRS["kernels: liger"]])
    late = list(gpu_options.results(time.monotonic() + 1, "cpu"))
    assert {result["skipped"] for result in late} == {"no time left"}
    first, _, third = islice(gpu_options.results(time.monotonic() + 99, "cpu"), 3)
    assert first["skipped"] == "on a CPU nothing is copied" and "needs liger-kernel" in third["skipped"]


@pytest.mark.parametrize("name", ["kernels: chunked", "micro_batch_size: auto"])
def test_sums_in_another_order_are_seen_and_within_bounds(name: str) -> None:
    found = gpu_options.held(PAIRS[name], "fp32", "cpu")
    assert found["within"] and 0 < found["gradient"] < 1e-5


def test_a_failure_is_the_last_result_and_the_next_process_goes_on_behind_it(monkeypatch: Any) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("of no use")

    monkeypatch.setattr(gpu_options, "held", fail)
    (failed,) = gpu_options.results(time.monotonic() + 99, "cpu")
    assert "of no use" in failed["error"]
    (again,) = gpu_options.results(time.monotonic() + 99, "cpu", after=1)
    assert again["name"] != failed["name"]


def test_weights_divided_among_one_are_the_whole_ones(tmp_path: Path, monkeypatch: Any) -> None:
    """In fp32 but for the order of sums, which the number of threads decides; in bf16 gathered in it."""
    ((code, _, said),) = together(1, gpu_shard.main, "cpu", tmp_path, cwd=tmp_path)
    assert code == 0, said
    monkeypatch.setattr(gpu_shard, "divided", lambda device, deadline: tmp_path)
    for method in gpu_shard.METHODS:
        for precision in gpu_options.PRECISIONS:
            found = gpu_options.in_parts(method, precision, "cpu", 0.0)
            assert found["within"] and found["gradient"] < (1e-5 if precision == "fp32" else 0.05), found


def test_divided_steps_that_fail_say_why(monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu_shard, "__file__", "no-such-file.py")
    with pytest.raises(RuntimeError, match=r"exit code [12]\n(.|\n)*no-such-file"):
        gpu_shard.divided("cpu", time.monotonic() + 60)
    with pytest.raises(TimeoutError):
        gpu_shard.divided("cpu", time.monotonic())


@pytest.mark.parametrize("bits", [4, 8])
def test_few_bits_compute_what_they_stand_for(bits: Any) -> None:
    pytest.importorskip("bitsandbytes", reason=REASON)
    from gpu_few_bits import hold

    found = gpu_options.held(PAIRS[f"model_load: {{bits: {bits}}} against what they stand for"], "fp32", "cpu")
    assert found["within"]
    one, other = (loaded(Steps(bits=said), "fp32", "cpu") for said in (bits, None))
    hold(other, bits, torch.float32)
    few, held = ({path for path, part in model.named_modules() if is_quantised(part)} for model in (one, other))
    assert few == held and few
    ids = torch.arange(9)[None]
    assert torch.equal(one(input_ids=ids).logits, other(input_ids=ids).logits)


def test_the_page_has_both_bounds_and_what_was_generated() -> None:
    options = [
        {"name": "chunked, fp32", "loss": 1e-7, "gradient": 2e-6, "bound": {"loss": 1e-5, "gradient": 1e-4},
         "same": False, "within": True},
        {"name": "offload, bf16", "loss": 0.0, "gradient": 1e-3, "bound": None, "same": False, "within": False},
        {"name": "generation, fp32", "joins": True, "text": 1.0, "bound": {"text": 0.95}, "within": True},
        {"name": "shard: full, seq, fp32", "loss": 0.0, "gradient": 0.0, "bound": {"loss": 1e-5, "gradient": 1e-4},
         "same": True, "within": True, "processes": 1},
        {"name": "liger, fp32", "skipped": "needs liger-kernel"},
    ]  # fmt: skip
    parts = {"options": {"title": "Options", "results": options}}
    page = "\n".join(gpu_page.page({"device": "cuda", "budget": 60.0, "seconds": 9.0, "parts": parts}))
    assert "| chunked, fp32 | 1e-07 | 1e-05 | 2e-06 | 0.0001 | no | within |" in page
    assert "| offload, bf16 | 0 | 0 | 0.001 | 0 | no | out |" in page
    assert "taken by waiting ones" in page and "- shard: full, seq, fp32: 1 processes" in page
    assert "- left out: liger, fp32: needs liger-kernel" in page


def test_steps_take_a_task_after_another() -> None:
    new_accelerator("fp32", cpu=True)
    done = taken(Steps("lora", LORA, tasks=2), "fp32", "cpu")
    assert len(done.losses) == len(done.gradients) == 6
