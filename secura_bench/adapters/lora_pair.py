"""The layer of I-LoRA: a LoRA that is trained, and a moving average of it that remembers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secura_bench.adapters.merging import Survival, merge_into
from secura_bench.adapters.stand_in import LinearStandIn, Names
from secura_bench.models.quantised import dense_weight


class DualLoRALinear(LinearStandIn):
    """A frozen linear layer W and two low-rank updates of it, of which a forward uses one: ΔW = B A, unscaled.

    Attributes:
        A: (r, d) trained, drawn as LoRA's is. B: (h, r) trained, zero at the start.
        long_A, long_B: the long-term pair, buffers; equal to the working pair at the start.
        long_term: which of the two a forward uses.
    """

    trained_names: ClassVar[Names] = ("A", "B")
    moved_names: ClassVar[Names] = ("long_A", "long_B")
    held_names: ClassVar[Names] = ("long_A", "long_B")

    long_A: Tensor  # noqa: N815
    long_B: Tensor  # noqa: N815

    def __init__(self, base: nn.Linear, r: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.long_term = False
        device = base.weight.device
        # Drawn on the CPU, as PEFT's are, so that a seed starts alike on every device.
        drawn = torch.empty(r, base.in_features, device="meta" if device.type == "meta" else "cpu", dtype=torch.float32)
        self.A = nn.Parameter(nn.init.kaiming_uniform_(drawn, a=math.sqrt(5)).to(device))
        self.B = nn.Parameter(torch.zeros(base.out_features, r, device=device, dtype=torch.float32))
        self.register_buffer("long_A", self.A.detach().clone())
        self.register_buffer("long_B", self.B.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return x (W + B A)ᵀ + bias, with the pair that ``long_term`` says."""
        A, B = self._pair(self.long_term)
        return self.base(x) + F.linear(F.linear(x, A.to(x.dtype)), B.to(x.dtype))

    def _pair(self, long_term: bool) -> tuple[Tensor, Tensor]:
        return (self.long_A, self.long_B) if long_term else (self.A, self.B)

    @torch.no_grad()
    def effective_weight(self, long_term: bool) -> Tensor:
        """Return W + B A with one of the pairs, h×d in fp32."""
        A, B = self._pair(long_term)
        return dense_weight(self.base).float() + B.float() @ A.float()

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Move the long-term pair: θ_long ← decay · θ_long + (1 − decay) · θ_working."""
        self.long_A.lerp_(self.A.to(self.long_A), 1 - decay)
        self.long_B.lerp_(self.B.to(self.long_B), 1 - decay)

    @torch.no_grad()
    def merge(self) -> Survival:
        """Add the working B A to W, rounded once to W's dtype, and set B to 0; return what survived.

        Both pairs are equal again afterwards.
        """
        with torch.autocast(self.A.device.type, enabled=False):
            survival = merge_into(self.base.weight, self.B.float() @ self.A.float())
        self.B.zero_()
        self.long_A.copy_(self.A)
        self.long_B.copy_(self.B)
        return survival


def dual_layers(model: nn.Module) -> Iterator[DualLoRALinear]:
    """Yield the adapted modules."""
    return (module for module in model.modules() if isinstance(module, DualLoRALinear))


@contextmanager
def long_term(model: nn.Module) -> Iterator[None]:
    """Within this context the model computes with the long-term pairs."""
    layers = list(dual_layers(model))
    before = [layer.long_term for layer in layers]
    for layer in layers:
        layer.long_term = True
    try:
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.long_term = value
