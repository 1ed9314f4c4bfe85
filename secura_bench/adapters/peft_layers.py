"""PEFT's layers (LoRA, DoRA and OSF) seen as one weight: to merge them at a boundary, to export, to take norms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.adapters.conv1d import as_linear, is_conv1d
from secura_bench.adapters.merging import Survival
from secura_bench.models.quantised import dense_weight, is_quantised


def lora_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the path and PEFT layer of every adapted module."""
    from peft.tuners.lora import LoraLayer

    return ((path, module) for path, module in model.named_modules() if isinstance(module, LoraLayer))


def tuner_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the path and PEFT layer of every adapted module."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return ((path, module) for path, module in model.named_modules() if isinstance(module, BaseTunerLayer))


@torch.no_grad()
def linear_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the path and weight of every adapted linear module, h×d in fp32: what it makes of the identity.

    So it needs no formula of the tuner's; h×d, and d×d numbers on the way.
    """
    for path, layer in tuner_layers(model):
        base = layer.get_base_layer()
        if isinstance(base, nn.Linear) or is_conv1d(base):
            was_training = layer.training
            layer.eval()
            dtype = torch.float32 if is_quantised(base) else base.weight.dtype
            unit = torch.eye(as_linear(base).in_features, device=base.weight.device, dtype=dtype)
            yield path, (layer(unit) - layer(torch.zeros_like(unit[:1]))).T.float()
            layer.train(was_training)


@torch.no_grad()
def effective_weight(layer: Any) -> Tensor:
    """Return the weight that the layer's forward stands for, in fp32, as it is stored: h×d, a Conv1D's d×h.

    LoRA: W + (alpha / r) B A. DoRA: m (W + (alpha / r) B A) / ‖W + (alpha / r) B A‖, norms by row. OSF: W and what
    became of its lesser singular values.
    """
    (name,) = layer.active_adapters
    weight = dense_weight(layer.get_base_layer()).float() + layer.get_delta_weight(name).float()
    if name in getattr(layer, "lora_magnitude_vector", {}):
        magnitude = layer.lora_magnitude_vector[name].weight.float()
        outputs = 1 if is_conv1d(layer.get_base_layer()) else 0
        norms = weight.norm(dim=1 - outputs)
        weight = weight * (magnitude / norms).unsqueeze(1 - outputs)
    return weight


@torch.no_grad()
def merge(layer: Any) -> Survival:
    """Move the adapter into the base weight, in its dtype, and set B to zero; A, and DoRA's magnitudes, go on."""
    (name,) = layer.active_adapters
    base = layer.get_base_layer().weight
    merged = effective_weight(layer)
    before = base.detach().clone()
    base.copy_(merged.to(base.dtype))
    layer.lora_B[name].weight.zero_()
    return Survival.of(before, base, merged - before.float())
