"""The layer of O-LoRA: a low-rank pair that is trained, and the frozen ones of earlier tasks, all summed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secura_bench.adapters.stand_in import LinearStandIn, Names
from secura_bench.models.quantised import dense_weight


class PairSumLinear(LinearStandIn):
    """A frozen linear layer W and ΔW = s (B A + Σ B_i A_i), the sum over earlier pairs; s = alpha / r.

    Attributes:
        A: (r, d) trained, drawn as LoRA's is. B: (h, r) trained, zero at the start.
        earlier_A: (t r, d) buffer, the earlier pairs' A_i one below the other.
        earlier_B: (h, t r) buffer, their B_i side by side: so one product of the two is the sum of theirs.
    """

    trained_names: ClassVar[Names] = ("A", "B")
    moved_names: ClassVar[Names] = ("earlier_A", "earlier_B")
    grown_names: ClassVar[Names] = ("earlier_A", "earlier_B")
    held_names: ClassVar[Names] = ("earlier_A", "earlier_B")

    earlier_A: Tensor  # noqa: N815
    earlier_B: Tensor  # noqa: N815

    def __init__(self, base: nn.Linear, r: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / r
        self.dropout = nn.Dropout(dropout)
        h, d = base.out_features, base.in_features
        device = base.weight.device
        # Drawn on the CPU, as PEFT's are, so that a seed starts alike on every device.
        drawn = torch.empty(r, d, device="meta" if device.type == "meta" else "cpu", dtype=torch.float32)
        self.A = nn.Parameter(_draw(drawn).to(device))
        self.B = nn.Parameter(torch.zeros(h, r, device=device, dtype=torch.float32))
        self.register_buffer("earlier_A", torch.zeros(0, d, device=device, dtype=torch.float32))
        self.register_buffer("earlier_B", torch.zeros(h, 0, device=device, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (W + s (B A + Σ B_i A_i))ᵀ + bias, dropout on the pairs' input."""
        dropped = self.dropout(x)
        update = F.linear(F.linear(dropped, self.A.to(x.dtype)), self.B.to(x.dtype))
        if len(self.earlier_A):
            update = update + F.linear(F.linear(dropped, self.earlier_A.to(x.dtype)), self.earlier_B.to(x.dtype))
        return self.base(x) + self.scale * update

    @torch.no_grad()
    def pairs(self) -> tuple[Tensor, Tensor]:
        """Return all pairs as one, in fp32: A ((t+1) r, d) and B (h, (t+1) r), without s."""
        A = torch.cat([self.earlier_A.float(), self.A.float()])
        return A, torch.cat([self.earlier_B.float(), self.B.float()], dim=1)

    @torch.no_grad()
    def effective_weight(self) -> Tensor:
        """Return W + s (B A + Σ B_i A_i), h×d in fp32."""
        A, B = self.pairs()
        return dense_weight(self.base).float() + self.scale * (B @ A)

    def overlap(self) -> Tensor:
        """Return Σ_i Σ |A_i Aᵀ| over the earlier pairs, with gradient for A; a scalar."""
        return (self.earlier_A.float() @ self.A.float().T).abs().sum()

    @torch.no_grad()
    def freeze_pair(self, generator: torch.Generator) -> None:
        """Put the trained pair to the earlier ones, and draw a new one from ``generator``, of the CPU."""
        self.earlier_A = torch.cat([self.earlier_A.to(self.A), self.A])
        self.earlier_B = torch.cat([self.earlier_B.to(self.B), self.B], dim=1)
        self.A.copy_(_draw(torch.empty(self.A.shape, dtype=torch.float32), generator))
        self.B.zero_()


def pair_layers(model: nn.Module) -> Iterator[tuple[str, PairSumLinear]]:
    """Yield the path and layer of every adapted module."""
    return ((path, module) for path, module in model.named_modules() if isinstance(module, PairSumLinear))


def _draw(A: Tensor, generator: torch.Generator | None = None) -> Tensor:
    return nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator)
