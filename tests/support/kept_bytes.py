"""How much a forward keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def kept_bytes(model: Any, forward: Callable[[], Any]) -> int:
    """Return the bytes of what ``forward`` keeps for the backward pass, the model's own tensors left out."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storage.nbytes() for storage in kept.values())
