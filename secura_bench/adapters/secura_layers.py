"""SECURA's layers: a CABR adapter under SigNorm, merged by M1 or M2."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secura_bench.adapters.cur import core_forward, core_weight
from secura_bench.adapters.cur_layers import CABRLinear, add_bias, full_precision
from secura_bench.adapters.merging import Survival, merge_into
from secura_bench.adapters.signorm import output_restraint, resting_restraint, restraint
from secura_bench.adapters.stand_in import Names
from secura_bench.models.quantised import product

Merge = Literal["m1", "m2", "none"]


class UnnormedSecuraLinear(CABRLinear):
    """SECURA without SigNorm (``signorm: off``): C (K + A B) R, and how A B gets into K.

    M1 (equation 10): K ← K + A B. M2 (equations 11 to 13): A_f ← A, B_f ← B_f + B, K = A_f B_f. Then B ← 0.

    Attributes:
        A_f, B_f: M2's accumulated factors, (r, m) and (m, r), from A and zero; None otherwise.
        adapter_bias: (h,) trained, zero at the start, never reset; None where it is off.
        survival: with ``into_base``, what the last merge and all merges left in W.
    """

    trained_names: ClassVar[Names] = ("A", "B", "adapter_bias")
    still_names: ClassVar[Names] = ("A",)
    moved_names: ClassVar[Names] = ("K", "A_f", "B_f")
    held_names: ClassVar[Names] = ("C", "R", "K", "A_f", "B_f", "W_first")

    A_f: Tensor | None
    B_f: Tensor | None
    W_first: Tensor | None

    def __init__(
        self,
        base: nn.Linear,
        columns: Tensor,
        rows: Tensor,
        m: int,
        *,
        merge: Merge = "m1",
        always_merged: bool = False,
        adapter_bias: bool = False,
        into_base: bool = False,
        scale: float = 6.0,
        epsilon: float = 1e-10,
    ) -> None:
        super().__init__(base, columns, rows, m)
        self.rule, self.always_merged, self.into_base = merge, always_merged, into_base
        self.scale, self.epsilon = scale, epsilon
        m2 = merge == "m2"
        self.register_buffer("A_f", self.A.detach().clone() if m2 else None)
        self.register_buffer("B_f", torch.zeros_like(self.B) if m2 else None)
        self.adapter_bias = nn.Parameter(torch.zeros(base.out_features, device=self.K.device)) if adapter_bias else None
        self.register_buffer("W_first", base.weight.detach().clone() if into_base else None, persistent=False)
        self.survival: tuple[Survival, Survival] | None = None

    @property
    def is_still(self) -> bool:
        """Whether B is zero in every forward, and A with it has no gradient."""
        return self.always_merged

    def forward(self, x: Tensor) -> Tensor:
        """Return x (W + C (K + A B) R)ᵀ + bias, by thin products."""
        return add_bias(self._unnormed(x), self.base.bias, self.adapter_bias)

    def _unnormed(self, x: Tensor) -> Tensor:
        return product(self.base, x) + core_forward(x, self.C, self.core().to(x.dtype), self.R)

    def core(self) -> Tensor:
        """Return what of the core is not in the base weight: K + A B, or A B where merges go into W itself."""
        with full_precision(self.K):
            return self.trained_core() if self.into_base else self.K + self.trained_core()

    def former(self) -> Tensor:
        """Return W_former as an h×d matrix in fp32."""
        return self.base.weight.float() if self.into_base else super().former()

    @torch.no_grad()
    def merge(self) -> None:
        """Merge A B by the layer's rule and set B to zero; exact in K, rounded where merges go into W."""
        before = self.K.clone()
        if self.A_f is not None and self.B_f is not None:
            self.A_f.copy_(self.A)
            self.B_f += self.B
            self.K.copy_(self.A_f @ self.B_f)
        else:
            self.K += self.A @ self.B
        if self.W_first is not None:
            self._merge_into_base(self.W_first, self.K - before)
        self.reset()

    def _merge_into_base(self, first: Tensor, core: Tensor) -> None:
        """Put C core R into W in W's own dtype, as the published code does, and measure what survives."""
        C, R = self.C.float(), self.R.float()
        step = merge_into(self.base.weight, core_weight(C, core, R))
        total = Survival.of(first, self.base.weight, core_weight(C, self.K, R))
        self.survival = (step, total)

    def median_restraint(self) -> float:
        """Return the median of Res over the weight's entries: 1 without SigNorm."""
        return 1.0


class SecuraLinear(UnnormedSecuraLinear):
    """The paper's SigNorm, in weight space: W_updated = W_m / Res, elementwise (equations 5 to 9)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x W_updatedᵀ + bias; the bias is not divided."""
        if not self.always_merged:
            return add_bias(F.linear(x, self.effective_weight().to(x.dtype)), self.base.bias, self.adapter_bias)
        # Merged after every step, B is 0 in every forward: Res is one number and the update is thin. A B is 0 too,
        # but B's gradient comes from it.
        return add_bias(self._unnormed(x) / resting_restraint(self.scale), self.base.bias, self.adapter_bias)

    def effective_weight(self) -> Tensor:
        """Return W_updated = W_m / Res as an h×d matrix in fp32, by the full path of equations 5 to 9."""
        former, delta = self.former(), self.delta()
        return (former + delta) / restraint(former, delta, self.scale, self.epsilon)

    def median_restraint(self) -> float:
        """Return the median of Res over the weight's entries."""
        if self.always_merged:
            return resting_restraint(self.scale)
        return restraint(self.former(), self.delta(), self.scale, self.epsilon).median().item()


class PublicSecuraLinear(UnnormedSecuraLinear):
    """The published code's variant, in output space: y = (2 y0 + d) / Res.

    y0 = x W_formerᵀ + bias and d = x (C A B R)ᵀ + adapter_bias; Res depends on x, so there is no weight to export. In
    its M2, y0 is x (W + C A B R)ᵀ + bias with the trained A and B: A_f and B_f never enter a forward.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (2 y0 + d) / Res."""
        with full_precision(self.K):
            trained = self.trained_core()
            shown = trained if self.rule == "m2" else self.K
        update = core_forward(x, self.C, trained.to(x.dtype), self.R)
        d = add_bias(update, self.adapter_bias)
        y0 = product(self.base, x)
        if self.rule == "m2":
            y0 = y0 + update
        elif not self.into_base:
            y0 = y0 + core_forward(x, self.C, shown.to(x.dtype), self.R)
        y0 = add_bias(y0, self.base.bias)
        res = output_restraint(y0, d, self.scale)
        self._last_median = res.float().median()
        return (2 * y0 + d) / res

    def median_restraint(self) -> float:
        """Return the median of Res over the last forward's outputs."""
        return float(getattr(self, "_last_median", 2.0))
