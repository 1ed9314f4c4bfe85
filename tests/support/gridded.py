"""Record sets of methods over a grid of learning rates, made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthetic import Character, write_records

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
GRIDS: Mapping[str, Sequence[Character]] = {
    "lora": (Character(0.2, 0.02), Character(0.5, 0.1), Character(0.9, 0.3), Character(0.4, 0.8)),
    "secura": (Character(0.15, 0.01), Character(0.45, 0.03), Character(0.7, 0.08), Character(0.95, 0.2)),
}
"""By method, how it behaves at each of ``RATES``: LoRA breaks down at the last."""


def write_grid(
    root: Path, grids: Mapping[str, Sequence[Character]] = GRIDS, declared: bool = True, **options: Any
) -> Path:
    """Write records of each method at each rate below ``root``: as ``tune`` declares them, or a ``matrix`` has them."""
    characters = {
        f"{method}-lr-{rate:g}": each for method, grid in grids.items() for rate, each in zip(RATES, grid, strict=False)
    }
    usual = {"tasks": ("colours",), "seeds": (1, 2), "mode": "separate", "protocols": ("generate",)}
    write_records(root, characters, **(usual | options))
    for path in root.glob("*/*/record.json"):
        whole = json.loads(path.read_text())
        method, _, rate = whole["method"]["name"].partition("-lr-")
        if rate:
            whole["method"] |= {"name": method, "train": {"steps": 40, "lr": float(rate)}}
            if declared:
                settings = {"train.lr": float(rate)}
                whole["method"]["tuned"] = {"family": method, "settings": settings, "choose": "frontier"}
            path.write_text(json.dumps(whole))
    return root
