"""CABR-LoRA (SECURA, arXiv 2502.18168, section 3.1): ΔW = C A B R, without SigNorm and merges along the way.

for each W (h×d) to adapt: C ← r of its columns, R ← r of its rows, frozen; K ← 0
                           A (r×m) ← W[:r, :m], B (m×r) ← 0
for each step:
    y = (W + C (K + A B) R) x
    A, B ← optimizer(A, B, ∇ loss)
at the end of a task (``boundary: merge``): K ← K + A B,  B ← 0
"""

from __future__ import annotations

from torch import Tensor, nn

from secura_bench.adapters.cur_layers import CABRLinear, CURLinear
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.cur_adapter import CURAdapter, CUROptions
from secura_bench.methods.options import Size, resolve_size


class CABROptions(CUROptions):
    """Options of a CUR adapter, and the inner size."""

    m: Size = 0.0488
    """The inner size of A (r×m) and B (m×r): a number, or a fraction of the model's hidden size; more than r."""


class CABRLoRA(CURAdapter):
    """W + C A B R: CUR-LoRA's core, inflated to A (r×m) B (m×r), both trained; A starts as W[:r, :m], B at zero."""

    name = "cabr_lora"
    published_per_layer = 120_000
    Options = CABROptions
    options: CABROptions

    def check(self, path: str, linear: nn.Linear, r: int, model: nn.Module) -> None:
        """Refuse ranks that the module cannot hold: r ≤ min(h, d), r < m ≤ d."""
        super().check(path, linear, r, model)
        h, d = linear.out_features, linear.in_features
        m = self.m(model)
        if m > d:
            raise SpecError(f"m: {m} is more than {path} ({h}×{d}) has columns; at most {d}.")
        if m <= r:
            raise SpecError(f"m: {m} must be more than r: {r} (A is r×m with m > r).")

    def trained_by(self, h: int, r: int, model: nn.Module) -> int:
        """Return A's and B's, 2 r m."""
        return 2 * r * self.m(model)

    def m(self, model: nn.Module) -> int:
        """Return m as a whole number."""
        return resolve_size(self.options.m, model)

    def layer(self, linear: nn.Linear, columns: Tensor, rows: Tensor, model: nn.Module) -> CURLinear:
        """Return the layer with A and B."""
        return CABRLinear(linear, columns, rows, self.m(model))
