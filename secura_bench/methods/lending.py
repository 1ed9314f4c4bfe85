"""Making a method ready on a model; and the untouched model, lent to methods that compare with its outputs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from secura_bench.foundation.errors import SpecError
from secura_bench.models.quantised import is_quantised

if TYPE_CHECKING:
    from secura_bench.methods.method import Method


def attached(
    method: Method,
    model: nn.Module,
    prepare: Callable[[nn.Module], None] = lambda model: None,
    wrap: Callable[[nn.Module], nn.Module] = lambda base: base,
) -> nn.Module:
    """Return ``model`` with ``method`` attached and started: what every process of a run does first.

    ``prepare`` is called on the attached model (dtypes, what else is frozen); ``wrap`` on the base that is lent.

    Raises:
        SpecError: The options do not fit the model's modules or how its weights are held, or the base cannot be lent.
    """
    if (reason := method.not_quantised) and any(map(is_quantised, model.modules())):
        raise SpecError(f"method {method.name!r} goes with no base whose weights are held in few bits: {reason}.")
    untouched = _Untouched(model) if method.needs_base else None
    model = method.attach(model)
    prepare(model)
    if untouched is not None:
        method.lend(wrap(untouched.beside(model, method)))
    type(method).start(method, model)  # the class's: an attribute that a plug-in calls so is no hook
    return model


class _Untouched:
    """The modules of a model before anything is attached, with its very tensors.

    An adapter puts modules of its own around the frozen tensors, and these modules know nothing of that: so their
    forward is the base's, for as long as the tensors stay as they are. Those that will not are copied.
    """

    def __init__(self, model: nn.Module) -> None:
        tensors = (*model.parameters(), *model.buffers())
        self._modules = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
        self._were = {name: (p.dtype, bits_of(p)) for name, p in model.named_parameters()}

    def beside(self, model: nn.Module, method: Method) -> nn.Module:
        """Return them as the base to lend beside the attached ``model``, frozen and in eval mode.

        Copied are the trained tensors, and of a method that merges the weights that it adapted; none that is quantised.
        """
        live = {id(p): (name, p) for name, p in model.named_parameters()}
        own: dict[int, nn.Parameter] = {}
        for name, parameter in self._modules.named_parameters():
            dtype, bits = self._were[name]
            there, _ = live.get(id(parameter), (name, None))
            value = parameter.detach().to(dtype)
            if bits_of(value) != bits:
                raise SpecError(
                    f"method {method.name!r} needs the base model's outputs, and what adapts the model has changed "
                    f"{name} when it was attached; start from the base's own weights (init_lora_weights: true)."
                )
            merged_into = method.merges and not there.endswith(name) and parameter.is_floating_point()
            if parameter.requires_grad or merged_into:
                own[id(parameter)] = nn.Parameter(value.clone(), requires_grad=False)
        for module in self._modules.modules():
            for key, held in module._parameters.items():
                module._parameters[key] = own.get(id(held), held)
            for key, buffer in module._buffers.items():
                module._buffers[key] = None if buffer is None else buffer.clone()
        return self._modules.eval()


def bits_of(tensor: Tensor) -> int:
    """Return the sum of a tensor's bits, read as whole numbers: another sum, other values. 0 for shapes alone."""
    if tensor.is_meta:
        return 0
    plain = tensor.detach().contiguous().flatten().view(torch.uint8)
    if plain.storage_offset() % 8:
        plain = plain.clone()
    whole = len(plain) // 8 * 8
    return int(plain[:whole].view(torch.int64).sum()) + int(plain[whole:].sum())
