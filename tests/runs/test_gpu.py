"""What only a GPU can show: whole runs there, in bf16."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from conftest import SPEC, secura_bench
from outside import save_adapter, save_merged
from sessions import forget_device


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_runs_on_a_gpu(tmp_path: Path, precision: str) -> None:
    forget_device()
    methods = "[seq, lora, dora, {name: cur_lora, r: 8}, {name: secura, r: 8, m: 16}, i_lora, {stack: [lora, ewc, er]}]"
    text = SPEC.replace("[{name: lora, r: 2}]", methods).replace("separate", "sequence")
    (tmp_path / "spec.yaml").write_text(text.replace("batch_size: 2", f"batch_size: 2, precision: {precision}"))
    done = secura_bench("run", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for path in tmp_path.rglob("record.json"):
        assert json.loads(path.read_text())["cost"]["device"] == "cuda"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_checkpoints_are_scored_on_a_gpu(tmp_path: Path, precision: str) -> None:
    forget_device()
    kinds = ("lora", "dora", "ia3", "vera", "pissa")
    paths = [*(save_adapter(tmp_path / kind, kind, steps=2) for kind in kinds), save_merged(tmp_path / "merged", 2)]
    methods = [{"name": "checkpoint", "label": path.name, "path": str(path)} for path in paths]
    spec = {**yaml.safe_load(SPEC), "methods": methods, "train": {"precision": precision}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    done = secura_bench("run", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    costs = [json.loads(path.read_text())["cost"] for path in tmp_path.glob("results/trial/*/record.json")]
    assert len(costs) == 7 and {cost["device"] for cost in costs} == {"cuda"}
    assert max(cost["peak_memory"] for cost in costs) < 1.2 * min(cost["peak_memory"] for cost in costs)
