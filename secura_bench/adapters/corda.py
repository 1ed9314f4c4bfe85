"""CorDA's start (Yang et al. 2024, arXiv 2406.05223), by PEFT's code, of one module after another.

for each adapted W (h×d), with X (tokens×d) what a row brings to its input, n rows:
    C ← (1/n) Σ Xᵀ X / (max X)²;  C ← C + c · mean(diag C) · I, with c = 0.01, doubled until ‖C C⁻¹ − I‖ < 0.05
    U Σ Vᵀ ← SVD(W C), and of it the last r singular values (``kpm``) or the first (``ipm``)
    B ← U √(Σ / s),  A ← √(Σ / s) Vᵀ C⁻¹,  s = α / r;  W ← W − s B A
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from secura_bench.adapters.alone import PREFIX, alone
from secura_bench.adapters.peft_layers import lora_layers
from secura_bench.data.example import Example
from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.wording import in_a_line
from secura_bench.models.quantised import is_quantised
from secura_bench.models.tensors import sharing

_LEFT = ("covariance_matrix", "sample_count", "corda_method", "rank")  # what PEFT leaves on a module


def is_corda(config: Any) -> bool:
    """Return whether PEFT's ``config`` asks for a start by CorDA."""
    return getattr(config, "init_lora_weights", None) == "corda"


def without_start(config: Any) -> tuple[Any, Callable[[nn.Module], None]]:
    """Return a configuration that looks at no rows, and what lets an adapted model of it be one of ``config``."""
    plain = copy.copy(config)
    plain.init_lora_weights = True

    def finish(model: nn.Module) -> None:
        own: Any = model.peft_config
        own["default"].init_lora_weights = config.init_lora_weights

    return plain, finish


def refuse_corda(model: nn.Module) -> None:
    """Refuse an adapted model, perhaps of shapes alone, of whose modules CorDA can make no start.

    Raises:
        SpecError: Names the module.
    """
    from transformers.pytorch_utils import Conv1D

    shared = sharing(model)
    for path, layer in lora_layers(model):
        base, name = layer.get_base_layer(), path.removeprefix(PREFIX)
        if not isinstance(base, nn.Linear | Conv1D):
            raise SpecError(
                f"init_lora_weights: corda: {name} is a {type(base).__name__}; CorDA adapts Linear and Conv1D alone."
            )
        if is_quantised(base):
            raise SpecError(
                f"init_lora_weights: corda: {name} is quantised, and nothing can be taken out of it; take true."
            )
        if others := shared.get(f"{path}.base_layer.weight"):
            raise SpecError(
                f"init_lora_weights: corda: {name} shares its weight with {others[0].removeprefix(PREFIX)}, and would "
                f"change both; take true."
            )
        if layer.r["default"] > min(base.weight.shape):
            raise SpecError(
                f"init_lora_weights: corda: r {layer.r['default']} is more than {name} has singular values, "
                f"{min(base.weight.shape)}; take a smaller r."
            )


@torch.no_grad()
def look(model: nn.Module, rows: Sequence[Example]) -> None:
    """Send ``rows`` through PEFT's ``model``, one at a time; its modules then hold their inputs' covariance for PEFT.

    Raises:
        SpecError: PEFT refuses what a module gets, or a module gets nothing.
    """
    from peft.tuners.lora.corda import calib_cov_distribution

    bases = {path: layer.get_base_layer() for path, layer in lora_layers(model)}
    hooked, config = alone(bases, model.peft_config["default"])  # type: ignore[index]
    device = next(model.parameters()).device
    modes = [(module, module.training) for module in model.modules()]

    def send() -> None:
        model.eval()
        for row in rows:
            ids = torch.tensor([[*row.prompt_ids, *row.answer_ids]], device=device)
            model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        for path, base in bases.items():
            if not base.sample_count:
                raise SpecError(f"init_lora_weights: corda: no row reaches {path.removeprefix(PREFIX)}; leave it out.")

    try:
        calib_cov_distribution(hooked, config, send, None, None)
    except (ValueError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError | SpecError):
            raise
        raise SpecError(f"init_lora_weights: corda: PEFT refuses: {in_a_line(error)}") from None
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def decompose(model: nn.Module, config: Any) -> None:
    """Let PEFT decompose the weights of a model of ``alone`` by their covariances, of which nothing is left."""
    from peft.tuners.lora.corda import collect_eigens, crop_corda_eigens, target_modules
    from peft.utils.other import get_pattern_key

    modules = list(target_modules(model, config))
    for path, module in modules:
        module.corda_method = config.corda_config.corda_method
        module.rank = config.rank_pattern.get(get_pattern_key(config.rank_pattern.keys(), path), config.r)
    collect_eigens(model, config, verbose=False)
    crop_corda_eigens(model, config)
    for _, module in modules:
        for name in _LEFT:
            delattr(module, name)
