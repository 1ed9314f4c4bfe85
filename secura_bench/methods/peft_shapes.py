"""PEFT tuners on shapes alone: what a plan needs of those that look at the weights, which are not there yet."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from secura_bench.errors import SpecError

DRAWN = ("gaussian", "orthogonal")
"""Values of ``init_lora_weights`` that draw numbers, and so look at no weight."""


def stand_in(name: str, config: Any) -> tuple[Any, Callable[[nn.Module], None]]:
    """Return a configuration that can be attached to shapes, and what makes it train as many scalars as ``config``.

    LoRA's starts by decomposition (PiSSA, OLoRA, MiCA) train what a plain one does, MiCA no B; SHiRA as many as a LoRA
    of its rank; FRoD, of an h×d module, the d singular values and a share of d² others.
    """
    if name == "shira":
        return _plain_lora(config, config.r), _refuse_more_than_all
    if name == "frod":
        return _plain_lora(config, 1), lambda model: _as_frod(model, config.sparse_rate)
    start = getattr(config, "init_lora_weights", None)
    if not isinstance(start, str) or start.lower() in DRAWN:
        return config, _nothing
    plain = copy.copy(config)
    plain.init_lora_weights = True
    return plain, _freeze_b if start.lower() == "mica" else _nothing


def _plain_lora(config: Any, r: int) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=r,
        target_modules=config.target_modules,
        exclude_modules=getattr(config, "exclude_modules", None),
        layers_to_transform=getattr(config, "layers_to_transform", None),
        layers_pattern=getattr(config, "layers_pattern", None),
        modules_to_save=getattr(config, "modules_to_save", None),
    )


def _nothing(model: nn.Module) -> None:
    """Leave the model as it is."""


def _refuse_more_than_all(model: nn.Module) -> None:
    """Refuse, as SHiRA does, to train more scalars of a module than it has."""
    from peft.tuners.lora import LoraLayer

    for path, module in model.named_modules():
        if isinstance(module, LoraLayer):
            h, d = module.out_features, module.in_features
            if (trained := module.r["default"] * (h + d)) > h * d:
                raise SpecError(
                    f"r: {trained} scalars would be trained of {path}, which has {h * d}; take a smaller r."
                )


def _freeze_b(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            parameter.requires_grad_(False)


def _as_frod(model: nn.Module, rate: float) -> None:
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            d = module.in_features
            others = max(1, min(int(d * d * rate), d * d - d)) if rate > 0 and d > 1 else 0
            for part, size in ((module.lora_A, d), (module.lora_B, others)):
                part["default"].weight = nn.Parameter(torch.empty(size, device="meta"))
