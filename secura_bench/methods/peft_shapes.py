"""PEFT tuners on shapes alone: what a plan needs of those that look at the weights, which are not there yet."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from secura_bench.adapters.peft_layers import tuner_layers
from secura_bench.foundation.errors import SpecError

DRAWN = ("gaussian", "orthogonal")
"""Values of ``init_lora_weights`` that draw numbers, and so look at no weight."""


def stand_in(name: str, config: Any) -> tuple[Any, Callable[[nn.Module], None]]:
    """Return a configuration that can be attached to shapes, and what makes it train as many scalars as ``config``.

    LoRA's starts by decomposition (PiSSA, OLoRA, MiCA) train what a plain one does, MiCA no B; SHiRA as many as a LoRA
    of its rank; FRoD, of an h×d module, the d singular values and a share of d² others. A plain LoRA goes on more
    kinds of modules than these do, so the latter refuses those too.
    """
    if name == "shira":
        return _plain_lora(config, config.r), _as_shira
    if name == "frod":
        return _plain_lora(config, 1), lambda model: _as_frod(model, config.sparse_rate)
    start = getattr(config, "init_lora_weights", None)
    if not isinstance(start, str) or start.lower() in DRAWN:
        return config, _nothing
    plain = copy.copy(config)
    plain.init_lora_weights = True
    return plain, lambda model: _as_decomposed(model, start.lower())


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


def _refuse_other_kinds(model: nn.Module, what: str, *kinds: str) -> None:
    """Refuse, as PEFT does of ``what`` once weights are there, modules of other ``kinds`` (names of classes)."""
    for path, layer in tuner_layers(model):
        if not layer.lora_A and not layer.lora_embedding_A:
            continue
        base = layer.get_base_layer()
        if not {kind.__name__ for kind in type(base).__mro__}.intersection(kinds):
            name = path.removeprefix("base_model.model.")
            raise SpecError(
                f"target_modules: {name} is a {type(base).__name__}; {what} adapts {' and '.join(kinds)} alone."
            )


def _forget_experts(model: nn.Module) -> None:
    """Take back what LoRA alone puts on experts that are one tensor: PEFT adds them to linear layers by itself."""
    for _, layer in tuner_layers(model):
        if type(layer).__name__ == "ParamWrapper":
            layer.lora_A.clear()
            layer.lora_B.clear()


def _as_shira(model: nn.Module) -> None:
    """Refuse, as SHiRA does, to train more scalars of a module than it has."""
    from peft.tuners.lora import LoraLayer

    _forget_experts(model)
    _refuse_other_kinds(model, "shira", "Linear")
    for path, module in model.named_modules():
        if isinstance(module, LoraLayer) and module.lora_A:
            h, d = module.out_features, module.in_features
            if (trained := module.r["default"] * (h + d)) > h * d:
                raise SpecError(
                    f"r: {trained} scalars would be trained of {path}, which has {h * d}; take a smaller r."
                )


def _as_decomposed(model: nn.Module, start: str) -> None:
    """Let a plain LoRA be one whose matrices came from the weight's decomposition."""
    _refuse_other_kinds(model, f"init_lora_weights: {start}", "Linear", "Conv1D", "Embedding")
    if start != "mica":
        return
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            parameter.requires_grad_(False)


def _as_frod(model: nn.Module, rate: float) -> None:
    from peft.tuners.lora import LoraLayer

    _forget_experts(model)
    _refuse_other_kinds(model, "frod", "Linear", "Conv1D")
    for module in model.modules():
        if isinstance(module, LoraLayer) and module.lora_A:
            d = module.in_features
            others = max(1, min(int(d * d * rate), d * d - d)) if rate > 0 and d > 1 else 0
            for part, size in ((module.lora_A, d), (module.lora_B, others)):
                part["default"].weight = nn.Parameter(torch.empty(size, device="meta"))
