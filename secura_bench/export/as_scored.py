"""A model as it is scored, written as a plain one from where it stands: nothing is loaded again or used up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.adapters.conv1d import is_conv1d
from secura_bench.adapters.peft_layers import effective_weight, linear_weights, lora_layers
from secura_bench.foundation.errors import BenchError
from secura_bench.methods.interpolation import WRAPPED, adapted_modules, is_below
from secura_bench.methods.method import Method
from secura_bench.models.load import ModelFolder, shapes_in


@torch.no_grad()
def write_as_scored(method: Method, view: nn.Module, base: ModelFolder, dtype: torch.dtype, folder: Path) -> None:
    """Write configuration and weights of ``view``, a model of ``base``'s kind, in ``dtype``.

    Beside the model stands one copy of what is adapted, in fp32, and of what is of another dtype.

    Raises:
        BenchError: It holds or lacks a tensor that the base has not or has, or adds what is no weight.
    """
    plain: Any = shapes_in(base)
    held = _tensors(method, view, list(plain.state_dict()))
    head, embedding = plain.get_output_embeddings(), plain.get_input_embeddings()
    if head is not None and head.weight is embedding.weight:
        names = {id(module): f"{path}.weight" for path, module in plain.named_modules()}
        ends = [held[names[id(module)]] for module in (head, embedding)]
        if ends[0].data_ptr() == ends[1].data_ptr():
            del held[names[id(head)]]
        else:
            for config in (plain.config, plain.config.get_text_config(decoder=True)):
                config.tie_word_embeddings = False
    tensors = {n: t.to(dtype) if t.is_floating_point() else t for n, t in held.items()}
    plain.save_pretrained(folder, state_dict=tensors)


def _tensors(method: Method, view: nn.Module, names: list[str]) -> dict[str, Tensor]:
    """Return the tensors of these names: the model's own, and of adapted modules what they compute with."""
    adapted = {path.removeprefix(WRAPPED): module for path, module in adapted_modules(view)}
    own = {name.removeprefix(WRAPPED): tensor for name, tensor in view.state_dict().items()}
    weights = {path.removeprefix(WRAPPED): weight for path, weight in _weights(method, view)} if adapted else {}
    if foreign := [name for name in own if name not in names and not is_below(name, adapted)]:
        raise BenchError(f"the model holds {foreign[0]}, which its base has not, and is no model of its kind")
    found: dict[str, Tensor] = {}
    for name in names:
        path, _, kind = name.rpartition(".")
        module: Any = adapted.get(path)
        if module is None:
            found[name] = own[name]
        elif kind != "weight":
            found[name] = getattr(_inner(module), kind)
        elif path in weights:
            _refuse_bias(path, module)
            found[name] = weights[path].t() if is_conv1d(_inner(module)) else weights[path]
        else:
            raise BenchError(f"what adapts {path} makes no weight of it")
    return found


def _weights(method: Method, view: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the path and weight of every adapted module, h×d in fp32, whoever adapted it."""
    if not hasattr(view, "peft_config"):
        yield from method.weights(view)
        return
    from peft import LoraConfig

    if any(type(config) is not LoraConfig for config in view.peft_config.values()):
        yield from linear_weights(view)
        return
    for path, layer in lora_layers(view):
        weight = effective_weight(layer)
        yield path, weight.t() if is_conv1d(layer.get_base_layer()) else weight


def _refuse_bias(path: str, module: Any) -> None:
    """Refuse a module that answers zeros with something else than its base does."""
    inner = _inner(module)
    zeros = inner.weight.new_zeros((1, inner.weight.shape[0 if is_conv1d(inner) else 1]))
    if not torch.allclose(module(zeros).float(), inner(zeros).float(), atol=1e-6):
        raise BenchError(f"what adapts {path} adds a bias, and a base's module has none")


def _inner(module: Any) -> Any:
    """Return the base's module within what stands in its place."""
    return module.get_base_layer() if hasattr(module, "get_base_layer") else module.base
