"""Tensors of which each process of a run holds a part (FSDP2's ``DTensor``), asked in the same way as plain ones."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def is_sharded(tensor: Tensor) -> bool:
    """Return whether this process holds a part of ``tensor`` alone."""
    return hasattr(tensor, "full_tensor")


def has_shards(model: nn.Module) -> bool:
    """Return whether the parameters of ``model`` are divided among processes: all are then, and so the first."""
    first = next(model.parameters(), None)
    return first is not None and is_sharded(first)


def local(tensor: Any) -> Tensor:
    """Return this process's part, which shares its memory and has its gradient; a plain tensor is all its own."""
    part: Tensor = tensor.to_local() if is_sharded(tensor) else tensor
    return part


def whole(tensor: Any) -> Tensor:
    """Return the whole tensor, the sum of what parts of a sum are; every process must ask at once."""
    full: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor
    return full


def like(other: Any, tensor: Tensor) -> Tensor:
    """Return whole ``tensor`` divided as ``other`` is: a copy of this process's part, where ``other`` is.

    Where ``other`` is plain, or ``tensor`` is divided, it is ``tensor`` itself.
    """
    if not is_sharded(other) or is_sharded(tensor):
        return tensor
    from torch.distributed.tensor import DTensor

    mesh = other.device_mesh
    rows = -(-len(other) // mesh.size())  # FSDP2 divides the first dimension, as torch.chunk does
    start, end = (min(n * rows, len(other)) for n in (mesh.get_local_rank(), mesh.get_local_rank() + 1))
    part = tensor[start:end].to(other.device, copy=True)
    return DTensor.from_local(part, mesh, other.placements, run_check=False, shape=other.shape, stride=other.stride())


def summed(part: Tensor, other: Any) -> Tensor:
    """Return the sum of a scalar over the processes that hold parts of ``other``: of a plain tensor, the scalar.

    Its gradient for each ``part`` is the mean over processes of the gradients that come back to the sum. So where data
    parallel averages gradients, a loss over parts has in each part the gradient that it would have as a whole.
    """
    if not is_sharded(other):
        return part
    total: Tensor = _Sum.apply(part, other.device_mesh.get_group())
    return total


class _Sum(torch.autograd.Function):
    """Σ over processes; backwards the mean over processes of ∂ / ∂ Σ."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: Any) -> Tensor:
        """Return the sum, in every process."""
        ctx.group = group
        total = part.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:
        """Return the mean of the processes' gradients."""
        mean = outer.clone()
        dist.all_reduce(mean, group=ctx.group)
        return mean / dist.get_world_size(ctx.group), None
