"""What of an update survives a merge into weights of low precision."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from secura_bench.models.sharded import whole


@dataclass(frozen=True)
class Survival:
    """Sums over the entries of one or more weights: the change that was made beside the update that was meant.

    ``made``: ‖W_after − W_before‖². ``meant``: ‖ΔW‖². ``inner``: ⟨W_after − W_before, ΔW⟩. ``changed`` of ``entries``.
    """

    made: float
    meant: float
    inner: float
    changed: int
    entries: int

    @classmethod
    def of(cls, before: Tensor, after: Tensor, delta: Tensor) -> Survival:
        """Compare two weights, in whatever dtype they are, with the update in fp32."""
        change = after.float() - before.float()
        return cls(
            made=whole(change.square().sum()).item(),
            meant=whole(delta.square().sum()).item(),
            inner=whole((change * delta).sum()).item(),
            changed=int(whole((after != before).sum())),
            entries=delta.numel(),
        )

    @classmethod
    def over(cls, several: Iterable[Survival]) -> Survival:
        """Sum over weights."""
        all_of = list(several)
        return cls(
            math.fsum(s.made for s in all_of),
            math.fsum(s.meant for s in all_of),
            math.fsum(s.inner for s in all_of),
            sum(s.changed for s in all_of),
            sum(s.entries for s in all_of),
        )

    def to_state(self) -> dict[str, float]:
        """Return the sums as a plain container."""
        return asdict(self)

    @property
    def figures(self) -> dict[str, float]:
        """Norm ratio ‖W_after − W_before‖ / ‖ΔW‖, *kept* = ⟨W_after − W_before, ΔW⟩ / ‖ΔW‖², share of entries changed.

        Without an update all that was meant was kept: 1, 1 and 0.
        """
        if self.meant == 0:
            return {"norm_ratio": 1.0, "kept": 1.0, "changed": 0.0}
        return {
            "norm_ratio": math.sqrt(self.made / self.meant),
            "kept": self.inner / self.meant,
            "changed": self.changed / self.entries,
        }


def survival_from(state: Mapping[str, Any] | None) -> Survival | None:
    """Return what ``Survival.to_state`` returned, None for None."""
    return None if state is None else Survival(**state)


@torch.no_grad()
def merge_into(weight: Tensor, delta: Tensor) -> Survival:
    """W ← W + ΔW in place, rounded to W's dtype; return what survived."""
    before = weight.detach().clone()
    weight.copy_((weight.float() + delta).to(weight.dtype))
    return Survival.of(before, weight, delta)
