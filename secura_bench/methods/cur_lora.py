"""CUR-LoRA (Fawi 2024, arXiv 2408.14572): ΔW = C U R with the r×r core U alone trained.

for each W (h×d) to adapt: C ← r of its columns, R ← r of its rows, frozen; U (r×r), K ← 0
for each step:
    y = (W + C (K + U) R) x
    U ← optimizer(U, ∇ loss)
at the end of a task (``boundary: merge``): K ← K + U,  U ← 0
"""

from __future__ import annotations

from torch import Tensor, nn

from secura_bench.adapters.cur_layers import CURLinear, CURLoRALinear
from secura_bench.methods.cur_adapter import CURAdapter


class CURLoRA(CURAdapter):
    """W + C U R: C and R are columns and rows of the original W, never chosen again; U starts at zero; alpha 1."""

    name = "cur_lora"
    published_per_layer = 90_000

    def layer(self, linear: nn.Linear, columns: Tensor, rows: Tensor, model: nn.Module) -> CURLinear:
        """Return the layer with U."""
        return CURLoRALinear(linear, columns, rows)
