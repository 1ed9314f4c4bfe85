"""Whether a model calls what was adapted: some compute with a module's weight themselves, past any adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.adapters.peft_layers import tuner_layers
from secura_bench.adapters.stand_in import LinearStandIn, stand_ins
from secura_bench.foundation.errors import SpecError

_TOKENS = 8


def refuse_unreached(model: nn.Module) -> None:
    """Refuse an adapter on a module that ``model`` never calls, though it computes with its weight.

    Such an adapter would be counted and never trained (Mamba's and Jamba's ``dt_proj``). A module that is not called
    because no token came to it, an expert's, is none: the logits have no gradient by its weight. Shapes alone tell
    nothing.

    Raises:
        SpecError: Names the first such module.
    """
    idle = _not_called(model, dict(_adapted(model)))
    weights = {path: weight for path, module in idle.items() if (weight := _weight(module)) is not None}
    for path in _with_gradient(model, weights):
        name = path.removeprefix("base_model.model.")
        raise SpecError(
            f"target_modules: the model computes with the weight of {name} and never calls the module, so an adapter "
            f"there would do nothing; leave {name.rpartition('.')[2]} out."
        )


def _adapted(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [*stand_ins(model), *(tuner_layers(model) if hasattr(model, "peft_config") else ())]


def _weight(module: Any) -> Tensor | None:
    base = module.base if isinstance(module, LinearStandIn) else module.get_base_layer()
    weight = getattr(base, "weight", None)
    return weight if isinstance(weight, Tensor) and weight.is_floating_point() else None


@torch.no_grad()
def _not_called(model: nn.Module, modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return those of ``modules`` whose forward a forward of ``model`` does not run."""
    if not modules or any(parameter.is_meta for parameter in model.parameters()):
        return {}
    called: set[nn.Module] = set()
    hooks = [module.register_forward_hook(lambda module, *_: called.add(module)) for module in modules.values()]
    try:
        few_logits(model)
    finally:
        for hook in hooks:
            hook.remove()
    return {path: module for path, module in modules.items() if module not in called}


def _with_gradient(model: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Return the paths of those ``weights`` that the logits have a gradient by."""
    if not weights:
        return []
    were = [weight.requires_grad for weight in weights.values()]
    try:
        for weight in weights.values():
            weight.requires_grad_(True)
        with torch.enable_grad():
            logits = few_logits(model)
            found = torch.autograd.grad(logits.float().sum(), list(weights.values()), allow_unused=True)
    finally:
        for weight, before in zip(weights.values(), were, strict=True):
            weight.requires_grad_(before)
    return [path for path, gradient in zip(weights, found, strict=True) if gradient is not None]


def few_logits(model: nn.Module) -> Tensor:
    """Return what the model says to a few tokens, (1, 8, vocabulary), in eval mode: nothing is drawn."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        ids = torch.arange(_TOKENS, device=next(model.parameters()).device)[None]
        said: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        return said
    finally:
        for module, training in modes.items():
            module.training = training
