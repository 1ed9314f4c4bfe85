"""What a plan says of weights that are divided among processes: by hand, and of a model of 70B on eight GPUs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, secura_bench
from llama3_70b import LLAMA3_70B, PARAMETERS

from secura_bench.estimates.device import this_device
from secura_bench.estimates.formulas import count_on_shape
from secura_bench.estimates.memory import Memory, Scoring, memory_of
from secura_bench.methods.build import build_method
from secura_bench.models.shape import Shape
from secura_bench.spec.sections import TrainSpec

LAYER = 2 * 8192 * (8192 + 1024) + 3 * 8192 * 28672 + 2 * 8192
EMBEDDING = 128256 * 8192
SHAPE = Shape.from_config("llama", LLAMA3_70B)


def planned(name: str, processes: int, **train: Any) -> Memory:
    """Return what a run of one row of 8 tokens takes, so that weights and what comes of them are all that matters."""
    footprint = build_method(name).footprint()
    count = count_on_shape(footprint, SHAPE)
    scoring = Scoring(rows=1, context=8, answers=1, new_tokens=0, protocols=("teacher_forced",))
    spec = TrainSpec.model_validate({"shard": "full", **train})
    return memory_of(footprint, count, SHAPE, spec, scoring, 1, tasks=3, on_gpu=True, processes=processes)


def test_each_process_takes_its_share_and_two_units() -> None:
    eight = planned("seq", 8, precision="bf16_stochastic", optimizer="adamw_8bit")
    assert eight.gradients == 2 * PARAMETERS / 8
    assert eight.optimizer == 2 * (1 + 4 / 256) * PARAMETERS / 8
    assert eight.weights == 2 * PARAMETERS / 8 + 2 * EMBEDDING * 2 + 2 * EMBEDDING * 2
    assert EMBEDDING > LAYER == SHAPE.layer
    # What the update of the largest tensor takes, and a layer's activations, is nothing beside one eighth of weights.
    assert eight.activations < 0.1 * eight.gradients


def test_what_is_gathered_is_in_the_dtype_that_is_computed_in() -> None:
    """Under autocast no copy of the trained weights is left; frozen ones have no gradients."""
    assert planned("seq", 8, precision="bf16").weights == 4 * PARAMETERS / 8 + 2 * EMBEDDING * (2 + 4)
    assert planned("seq", 8, precision="fp32").weights == 4 * PARAMETERS / 8 + 2 * EMBEDDING * (4 + 4)
    base = planned("base", 8, precision="bf16")
    assert base.weights == 2 * PARAMETERS / 8 + 2 * EMBEDDING * 2 and base.gradients == base.optimizer == 0
    lora = planned("lora", 8, precision="bf16")
    assert lora.weights == pytest.approx(base.weights, rel=0.001)


def test_what_ewc_holds_is_divided() -> None:
    one, eight = (planned("ewc", processes, precision="bf16") for processes in (1, 8))
    assert eight.held == one.held / 8 == (4 + 4) * PARAMETERS / 8  # F and θ*; at a boundary, F and a new one


@pytest.mark.parametrize("processes", [1, 8])
def test_without_shard_each_process_takes_all(processes: int) -> None:
    assert planned("seq", processes, shard=None) == planned("seq", 1)


def test_a_plan_of_70b_trained_whole_on_eight_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/sharded.md has its arithmetic; torchrun's count serves as well as the option's."""
    (tmp_path / "llama3-70b").mkdir()
    (tmp_path / "llama3-70b" / "config.json").write_text(json.dumps(LLAMA3_70B))
    page = (ROOT / "docs" / "sharded.md").read_text(encoding="utf-8")
    spec, shown = (page.split(fence)[1].split("```")[0] for fence in ('yaml title="whole_70b.yaml"\n', "```text\n"))
    (tmp_path / "whole_70b.yaml").write_text(spec)
    done = secura_bench("plan", "whole_70b.yaml", "--gpus-per-run", "8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout and "processes 8 a run" in done.stdout and " 59.2 " in done.stdout
    assert "59.2 GiB for `seq`" in page
    adamw = planned("seq", 8, precision="bf16_stochastic", gradient_checkpointing=True)
    assert f"{adamw.optimizer / 2**30:.1f} GiB" == "32.9 GiB" and "32.9 GiB" in page
    assert adamw.device > 80e9
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert this_device().processes == 8
