"""PEFT's OSF layers: the update kept off the directions that are frozen.

W = U_high S_high V_high + U_low S_low V_low, by the singular values; U_low, S_low and V_low are trained.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.adapters.peft_layers import tuner_layers


@torch.no_grad()
def take_off_frozen(model: nn.Module) -> None:
    """U_low ← (I − U_high U_highᵀ) U_low, and V_low ← V_low (I − V_highᵀ V_high), in place, after a step.

    PEFT projects the gradients so. AdamW divides what comes of them by element, which turns the update back into the
    frozen directions, and a change of W with it.
    """
    for _, layer in tuner_layers(model):
        (name,) = layer.active_adapters
        trained = layer.osf_svd_params[name]
        trained["U_low"].copy_(_complement(layer, "U", name, trained["U_low"]))
        trained["V_low"].copy_(_complement(layer, "V", name, trained["V_low"].T).T)


def _complement(layer: Any, side: str, name: str, columns: Tensor) -> Tensor:
    """Return the part of ``columns`` that is orthogonal to what is frozen.

    PEFT holds the frozen vectors where they and U_low leave directions over; else U_low's own start spans the rest.
    """
    frozen, start = getattr(layer, f"_osf_{side}_high"), getattr(layer, f"_osf_{side}_low_init", {})
    columns, basis = columns.float(), (frozen if name in frozen else start)[name]
    if side == "V":
        basis = basis.T
    inside = basis @ (basis.T @ columns)
    if name in frozen:
        return columns - inside
    return 2 * inside - basis @ (basis.T @ inside)  # 2 P − P²: what P is short of a projection would add up over steps
