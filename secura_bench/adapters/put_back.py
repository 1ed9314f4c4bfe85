"""Trained tensors back into a model that was attached anew."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from secura_bench.adapters.stand_in import stand_ins
from secura_bench.models.sharded import like
from secura_bench.models.tensors import named_tensors


def make_room(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give the buffers of ``model`` that grow with the tasks the shapes that they have in ``tensors``."""
    for path, layer in stand_ins(model):
        for name in layer.grown_names:
            own, other = getattr(layer, name), tensors.get(f"{path}.{name}")
            if other is not None and own.dim() == other.dim():
                setattr(layer, name, own.new_zeros(other.shape))


@torch.no_grad()
def put_back(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy ``tensors``, which ``Method.trained_state`` returned, into ``model``, freshly attached and started."""
    make_room(model, tensors)
    own = named_tensors(model)
    for name, tensor in tensors.items():
        own[name].copy_(like(own[name], tensor))
