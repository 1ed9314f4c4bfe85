"""Models whose linear weights are held in few bits, made of others in place: no file of 16 GiB is written and read."""

from __future__ import annotations

import logging
from typing import Any, Literal

import torch
from torch import nn


def hold(model: Any, bits: Literal[4, 8], dtype: torch.dtype) -> None:
    """Hold the linear weights of ``model``, but for its head's, in ``bits``, as ``model_load`` has them loaded."""
    from secura_bench.models.quantised import settle

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of casts at every forward
    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child is not head:
                setattr(parent, name, held(child, bits, dtype))
    settle("random", model)


def held(linear: nn.Linear, bits: Literal[4, 8], dtype: torch.dtype) -> nn.Module:
    """Return a module that computes with what ``bits`` of a linear module's weight stand for."""
    import bitsandbytes as bnb

    sizes = linear.in_features, linear.out_features, linear.bias is not None
    weight, device = linear.weight.data, linear.weight.device
    if bits == 4:
        few = bnb.nn.Linear4bit(*sizes, compute_dtype=dtype, quant_type="nf4", device="meta")
        few.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", module=few)
    else:
        few = bnb.nn.Linear8bitLt(*sizes, has_fp16_weights=False, threshold=0.0, device="meta")
        few.weight = bnb.nn.Int8Params(weight.cpu(), requires_grad=False, has_fp16_weights=False)
    few.bias = linear.bias
    few.weight = few.weight.to(device)  # on its way it is quantised
    return few.requires_grad_(False).train(linear.training)
