"""PEFT adapters that are merged into their weights, and made again from these, in place.

for each adapted W:
    W ← W + ΔW, in fp32 and rounded once
    the adapter's tensors, and W where PEFT takes something out of it ← as PEFT makes them of that W
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.adapters.alone import PREFIX, alone
from secura_bench.adapters.corda import decompose, is_corda, look, refuse_corda
from secura_bench.adapters.merging import Survival
from secura_bench.adapters.peft_layers import effective_weight, tuner_layers
from secura_bench.data.example import Example
from secura_bench.foundation.errors import SpecError
from secura_bench.models.quantised import is_quantised
from secura_bench.models.tensors import sharing

COPIES = 6
"""fp32 copies of a weight that its renewal makes: to compare what survived of the merge takes more than an SVD."""

_TRAINED = ("lora_A", "lora_B", "lora_magnitude_vector", "osf_svd_params")
_PLAIN = ("DoraLinearVariant", "MiCALinearVariant")  # of LoRA's variants, those whose weight is known


def renewable_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the path and PEFT layer of every module that a LoRA or an OSF adapts."""
    from peft.tuners.lora import LoraLayer
    from peft.tuners.osf import OSFLayer

    return ((path, layer) for path, layer in tuner_layers(model) if isinstance(layer, LoraLayer | OSFLayer))


def refuse_renewal(model: nn.Module) -> None:
    """Refuse a model, adapted by PEFT, whose adapter cannot be made again from merged weights.

    Raises:
        SpecError: Names the module, and the way out.
    """
    way_out = "set boundary: continue."
    shared = sharing(model)
    for path, layer in renewable_layers(model):
        base, name = layer.get_base_layer(), path.removeprefix(PREFIX)
        if not isinstance(base, nn.Linear):
            raise SpecError(
                f"boundary: renew: {name} is a {type(base).__name__}; nn.Linear alone is renewed; {way_out}"
            )
        if is_quantised(base):
            raise SpecError(f"boundary: renew: {name} is quantised, and nothing can be merged into it; {way_out}")
        if others := shared.get(f"{path}.base_layer.weight"):
            raise SpecError(
                f"boundary: renew: {name} shares its weight with {others[0].removeprefix(PREFIX)}, and a merge would "
                f"change both; {way_out}"
            )
        for variant in getattr(layer, "lora_variant", {}).values():
            if type(variant).__name__ not in _PLAIN:
                raise SpecError(f"boundary: renew: a {type(variant).__name__} is no weight to merge; {way_out}")
    for name, parameter in model.named_parameters():
        *_, kind, _, last = ("", "", *name.split("."))
        if parameter.requires_grad and (kind not in _TRAINED or last == "bias"):
            raise SpecError(
                f"boundary: renew: {name.removeprefix(PREFIX)} is trained as well, and is not made from a weight; "
                f"leave it out of config, or {way_out}"
            )


@torch.no_grad()
def renew(model: nn.Module, draw: str, rows: Sequence[Example] = ()) -> Survival:
    """Merge every adapter of PEFT's ``model`` and make it again, one module at a time; return what survived of it.

    ``rows`` are those that CorDA looks at.

    Parameters stay the same objects, so that an optimizer, or what several processes share, goes on with them. What
    PEFT draws depends on the run's seed and on ``draw`` alone; the process's generators stay where they are.
    """
    config = model.peft_config["default"]  # type: ignore[index]
    with _seeded(draw):
        if is_corda(config):
            look(model, rows)
        return Survival.over([_renew(path, layer, config) for path, layer in list(renewable_layers(model))])


def _renew(path: str, layer: Any, config: Any) -> Survival:
    base = layer.get_base_layer()
    before = base.weight.detach().clone()
    with _in_fp32(layer):
        merged = effective_weight(layer)
    base.weight.copy_(merged)
    survival = Survival.of(before, base.weight, merged - before.float())
    del before, merged
    _make(path, layer, config)
    return survival


@torch.no_grad()
def sharpen(model: nn.Module) -> None:
    """Let the buffers of PEFT's ``model``, as it was made, be in fp32: what OSF is held to must be orthogonal.

    PEFT rounds the vectors to the weight's dtype, and what is projected by rounded ones at every step shrinks or grows.
    """
    for path, layer in list(renewable_layers(model)):
        if layer.get_base_layer().weight.dtype != torch.float32:
            _make(path, layer, model.peft_config["default"])  # type: ignore[index]


@torch.no_grad()
def begin_from_rows(model: nn.Module, rows: Sequence[Example]) -> None:
    """Let the adapter of PEFT's ``model``, as it was made without rows, begin as CorDA makes it of ``rows``.

    Raises:
        SpecError: CorDA can make no start of a module.
    """
    refuse_corda(model)
    with _seeded("start"):
        look(model, rows)
        for path, layer in list(renewable_layers(model)):
            _make(path, layer, model.peft_config["default"])  # type: ignore[index]


def _make(path: str, layer: Any, config: Any) -> None:
    """Give ``layer`` the tensors that PEFT makes of its base weight: parameters in their own dtype, buffers in fp32."""
    made = _made_again(path.removeprefix(PREFIX), layer.get_base_layer(), config)
    own = _tensors(layer)
    for name, tensor in _tensors(made).items():
        if isinstance(own[name], nn.Parameter):
            own[name].copy_(tensor)
        else:
            own[name].data = tensor
    for handle in getattr(made, "hook_handles", ()):
        handle.remove()  # OSF's lead from its tensors back to the layer, and would keep both in memory


def _made_again(path: str, base: nn.Module, config: Any) -> nn.Module:
    """Return a layer that PEFT makes of ``base`` in fp32, as if it stood at ``path`` of a model with nothing else."""
    from peft import inject_adapter_in_model

    model, own = alone({path: base}, config)
    weight = base.get_parameter("weight")
    dtype, weight.data = weight.dtype, weight.data.float()
    if is_corda(own):
        decompose(model, own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of patterns that reach nothing: they are the whole model's
        made = inject_adapter_in_model(own, model).get_submodule(path)
    weight.data = weight.data.to(dtype)
    return made


def _tensors(layer: nn.Module) -> dict[str, Tensor]:
    """Return a layer's tensors by name, those of its base left out."""
    named = (*layer.named_parameters(), *layer.named_buffers())
    return {name: tensor for name, tensor in named if not name.startswith("base_layer.")}


@contextmanager
def _in_fp32(layer: nn.Module) -> Iterator[None]:
    """Within this context the layer's tensors are in fp32; afterwards they are what they were."""
    held = [(tensor, tensor.data) for tensor in (*layer.parameters(), *layer.buffers())]
    for tensor, data in held:
        tensor.data = data.float()
    try:
        yield
    finally:
        for tensor, data in held:
            tensor.data = data


@contextmanager
def _seeded(draw: str) -> Iterator[None]:
    """Within this context torch draws from the run's seed and ``draw``: alike in all processes of a run."""
    seed = random.Random(f"renew/{torch.initial_seed()}/{draw}").getrandbits(63)
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
