"""Which machine it is: device, driver, versions, and how fast it multiplies."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

PACKAGES = (
    "torch", "transformers", "peft", "accelerate", "numpy", "datasets", "pydantic", "nltk", "sacrebleu", "bitsandbytes",
    "liger_kernel",
)  # fmt: skip


def results(device: str) -> dict[str, Any]:
    """Return the machine, without a path or a name of it."""
    from secura_bench.estimates.device import this_device
    from secura_bench.foundation.installed import commit, versions
    from secura_bench.foundation.version import __version__

    here = this_device()
    found: dict[str, Any] = {
        "name": here.name,
        "secura_bench": __version__,
        "code": commit(),
        "python": platform.python_version(),
        "packages": versions(PACKAGES),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "free": here.memory,
        "matmul": here.rate,
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "memory": properties.total_memory,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "bf16": torch.cuda.is_bf16_supported(),
            "tf32": torch.backends.cuda.matmul.allow_tf32,
        }
    return found
