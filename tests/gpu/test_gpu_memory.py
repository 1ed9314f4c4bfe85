"""What CUDA's allocator says of a run beside its plan, on shapes that take seconds; gpu-check has large ones."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import gpu_memory

WORKSPACE = 96 * 2**20
"""What cuBLAS keeps in the allocator, at most, which small models show."""


@pytest.mark.parametrize(
    ("name", "options", "settings", "tasks"),
    [
        ("lora", {}, {}, 1),
        ("lora", {}, {"gradient_checkpointing": True}, 1),
        ("secura", {"r": 21, "m": 28}, {}, 1),
        ("seq", {}, {"precision": "fp32"}, 1),
        ("seq", {}, {"precision": "bf16_stochastic"}, 1),
        ("ewc", {"fisher_samples": 2}, {}, 2),
        ("base", {}, {}, 1),
    ],
)
def test_a_runs_peak_is_what_a_plan_says(
    device: str, name: str, options: dict[str, Any], settings: dict[str, Any], tasks: int
) -> None:
    settings = {"precision": "bf16", "steps": 2, **settings}
    point = gpu_memory.Point(name, "smollm2-135m", 8, 256, options, settings, tasks, 64)
    found = gpu_memory.held(point, torch.device(device))
    assert "error" not in found, found["error"]
    planned = found["forecast"]["total"] - found["forecast"]["process"]
    assert abs(planned - found["measured"]) <= gpu_memory.LIMIT * found["measured"] + WORKSPACE
