"""What identifies a run's start, where that is not the base: runs that start alike are scored there once."""

from __future__ import annotations

import hashlib
import json

import torch
from torch import Tensor, nn

from secura_bench.methods.lending import bits_of
from secura_bench.models.sharded import whole
from secura_bench.plan.fingerprint import foreign_code, resolved_options
from secura_bench.plan.run import Run


def start_of(run: Run, model: nn.Module) -> str:
    """Return a hash of everything that a start computes with, beside the base: the method's options and its tensors.

    So seeds share a start where they draw alike, and rates and steps always. A method of someone else's may draw what
    is no tensor of the model: its starts are of one seed each.
    """
    code = foreign_code(run.method)
    told = [run.method.name, resolved_options(run.method), code, run.seed if code else None]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name, tensor in sorted((*model.named_parameters(), *model.named_buffers()), key=lambda entry: entry[0]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(_content(tensor))
    return digest.hexdigest()


def _content(tensor: Tensor) -> bytes:
    """Return a tensor's bytes; of a frozen weight, which is the base's unless it was moved, the sum of its bits."""
    frozen = isinstance(tensor, nn.Parameter) and not tensor.requires_grad
    tensor = whole(tensor)
    if type(tensor) not in (Tensor, nn.Parameter):
        return type(tensor).__name__.encode()  # a quantised weight, of the base
    if frozen:
        return str(bits_of(tensor)).encode()
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
