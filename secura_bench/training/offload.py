"""Activations that wait for the backward pass in the CPU's memory: ``train.offload: activations``.

``torch.autograd.graph.save_on_cpu`` would take along the model's own weights, which autograd saves as well, and a
tensor as often as it is saved: the input of query, key and value three times.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef


@contextmanager
def offloaded(model: nn.Module, of: str = "cuda") -> Iterator[None]:
    """Within this context what is saved for the backward pass on a device of kind ``of`` lies in the CPU's memory.

    Left where they are: tensors of ``model``, and views of them. A copy is a copy: no number moves.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    copies: dict[Any, tuple[StorageWeakRef, Tensor]] = {}

    def pack(tensor: Tensor) -> tuple[Tensor, torch.device | None]:
        if tensor.device.type != of or tensor.layout != torch.strided:
            return tensor, None
        storage = tensor.untyped_storage()
        if storage.data_ptr() in own:
            return tensor, None
        held = StorageWeakRef(storage)  # while it is held, no other storage has its number
        key = held.cdata, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype, tensor._version
        if key not in copies:
            copy = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
            copies[key] = held, copy.copy_(tensor)
        return copies[key][1], tensor.device

    def unpack(packed: tuple[Tensor, torch.device | None]) -> Tensor:
        tensor, device = packed
        return tensor if device is None else tensor.to(device, non_blocking=True)

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield
