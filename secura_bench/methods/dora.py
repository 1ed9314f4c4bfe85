"""DoRA (Liu et al. 2024, arXiv 2402.09353), through PEFT.

for each W (h×d) to adapt: A, B as LoRA's, μ ← ‖W‖ by row, W frozen
for each step:
    V = W + (α / r) B A
    y = μ V / ‖V‖ x, norms by row
    A, B, μ ← optimizer(A, B, μ, ∇ loss)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from secura_bench.methods.kept import Computing, Kept
from secura_bench.methods.lora import LoRA


class DoRA(LoRA):
    """W' = μ (W + (α/r) B A) / ‖W + (α/r) B A‖, by row: LoRA on W's direction, μ a magnitude a row, trained too."""

    name = "dora"
    published_per_layer = 148_000
    extras: ClassVar[dict[str, Any]] = {"use_dora": True}

    def trained_by(self, h: int, d: int) -> int:
        """Return LoRA's and a magnitude a row."""
        return super().trained_by(h, d) + h

    def kept_by(self, inputs: int, outputs: int, computing: Computing) -> Kept:
        """Return LoRA's, the outputs of W and of B A, which the magnitude scales, and a unit matrix for the norm."""
        lora = super().kept_by(inputs, outputs, computing)
        return replace(
            lora, token=lora.token + 2 * outputs * computing.scalar, weights=computing.trained * inputs * inputs
        )
