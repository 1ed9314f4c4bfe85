"""The CPU's name."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch


@cache
def processor() -> str:
    """Return the CPU's name and the instructions that PyTorch takes there: in bf16 a score depends on them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(named, platform.processor() or platform.machine())}, {torch.backends.cpu.get_cpu_capability()}"
