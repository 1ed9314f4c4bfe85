"""The layers that CUR adapters put in place of a linear one: W + C core R, and what the core is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from secura_bench.adapters.cur import core_forward, core_weight, initial_a
from secura_bench.adapters.stand_in import LinearStandIn, Names
from secura_bench.models.quantised import dense_weight


class CURLinear(LinearStandIn, ABC):
    """A frozen linear layer W and its update C (K + trained core) R.

    ``K`` is what was merged. A merge moves the trained core into K and leaves the base weight untouched and shared:
    W_former = W + C K R, always, since C and R never change.

    Attributes:
        C: (h, r) columns of W, frozen. R: (r, d) rows of W, frozen. K: (r, r) fp32, zero at the start.
    """

    moved_names: ClassVar[Names] = ("K",)
    held_names: ClassVar[Names] = ("C", "R", "K")

    C: Tensor
    R: Tensor
    K: Tensor

    def __init__(self, base: nn.Linear, columns: Tensor, rows: Tensor) -> None:
        super().__init__()
        weight = dense_weight(base).detach()
        r = len(columns)
        self.base = base.requires_grad_(False)
        self.register_buffer("C", weight[:, columns].clone(), persistent=False)
        self.register_buffer("R", weight[rows, :].clone(), persistent=False)
        self.register_buffer("K", torch.zeros(r, r, device=weight.device))

    @abstractmethod
    def trained_core(self) -> Tensor:
        """Return the r×r core that is being trained."""

    @abstractmethod
    def reset(self) -> None:
        """Set the trained core to zero, so that training goes on from W_former."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x (W + C core R)ᵀ + bias, by thin products."""
        return self.base(x) + core_forward(x, self.C, self.core().to(x.dtype), self.R)

    def core(self) -> Tensor:
        """Return the whole core, merged and trained, r×r in fp32."""
        with full_precision(self.K):
            return self.K + self.trained_core()

    def former(self) -> Tensor:
        """Return W_former = W + C K R as an h×d matrix in fp32."""
        with full_precision(self.K):
            return dense_weight(self.base).float() + core_weight(self.C.float(), self.K, self.R.float())

    def delta(self) -> Tensor:
        """Return the update that is being trained, C · trained core · R, as an h×d matrix in fp32."""
        with full_precision(self.K):
            return core_weight(self.C.float(), self.trained_core().float(), self.R.float())

    def effective_weight(self) -> Tensor:
        """Return the weight that the forward stands for, h×d in fp32."""
        return self.former() + self.delta()

    @torch.no_grad()
    def merge(self) -> None:
        """Move the trained core into K: exact, r×r."""
        self.K += self.trained_core()
        self.reset()


class CURLoRALinear(CURLinear):
    """CUR-LoRA's: the core is U (r×r), trained, zero at the start."""

    trained_names: ClassVar[Names] = ("U",)

    def __init__(self, base: nn.Linear, columns: Tensor, rows: Tensor) -> None:
        super().__init__(base, columns, rows)
        self.U = nn.Parameter(torch.zeros_like(self.K))

    def trained_core(self) -> Tensor:
        """Return U."""
        return self.U

    @torch.no_grad()
    def reset(self) -> None:
        """U ← 0."""
        self.U.zero_()


class CABRLinear(CURLinear):
    """CABR-LoRA's: the core is A B with A (r×m) and B (m×r) trained, W[:r, :m] and zero at the start."""

    trained_names: ClassVar[Names] = ("A", "B")

    def __init__(self, base: nn.Linear, columns: Tensor, rows: Tensor, m: int) -> None:
        super().__init__(base, columns, rows)
        r = len(columns)
        self.A = nn.Parameter(initial_a(dense_weight(base), r, m))
        self.B = nn.Parameter(torch.zeros(m, r, device=self.K.device))

    def trained_core(self) -> Tensor:
        """Return A B."""
        return self.A @ self.B

    @torch.no_grad()
    def reset(self) -> None:
        """B ← 0; A goes on."""
        self.B.zero_()


def full_precision(near: Tensor) -> torch.autocast:
    """Switch autocast off, on the device of ``near``: the core is kept in fp32, and small updates with it."""
    return torch.autocast(near.device.type, enabled=False)


def add_bias(y: Tensor, *biases: Tensor | None) -> Tensor:
    """Return y plus the biases that are there."""
    for bias in biases:
        if bias is not None:
            y = y + bias
    return y
