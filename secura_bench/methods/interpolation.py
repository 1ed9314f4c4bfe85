"""Weights between the base's and the trained ones (WiSE-FT, Wortsman et al. 2021, arXiv 2109.01903).

W_α = W_base + α (W − W_base). An adapted linear module computes with it by its output, since it is linear in x:

    W_α x = (1 − α) W_base x + α W x

So what a method makes W of (factors, a core, a division, a merge) needs no formula here, and nothing is rounded to the
weights' dtype. Tensors of the base's own that were trained are interpolated themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.adapters.peft_layers import tuner_layers
from secura_bench.adapters.stand_in import stand_ins
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.method import Method

WRAPPED = "base_model.model."
"""What PEFT puts before the names of a model."""


@contextmanager
def interpolated(method: Method, model: nn.Module, base: nn.Module, alpha: float) -> Iterator[None]:
    """Within this context a trained ``model`` computes with W_α; ``base`` is the untouched one, loaded anew.

    At 1 nothing is touched, and at 0 the model computes what the base does, bit for bit where both are in one dtype.
    """
    adapted = dict(adapted_modules(model))
    own, theirs = dict(model.named_parameters()), dict(base.named_parameters())
    trained = [name for name in method.trained_state(model) if name in own and not is_below(name, adapted)]
    with ExitStack() as stack:
        for path, module in adapted.items():
            untouched = base.get_submodule(path.removeprefix(WRAPPED)).to(own_device(model))
            hook = module.register_forward_hook(_between(untouched, alpha))
            stack.callback(hook.remove)
        for name in trained if alpha != 1 else ():
            _move(own[name], theirs[name.removeprefix(WRAPPED)], alpha, stack)
        yield


def adapted_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the path and module of whatever stands in a module's place: the bench's own, and PEFT's."""
    yield from stand_ins(model)
    if hasattr(model, "peft_config"):
        yield from tuner_layers(model)


def refuse_without_between(method: Method, model: nn.Module, base: Iterable[str]) -> None:
    """Refuse an attached method that has no weights between the base's and its own.

    ``base`` are the names of the base's parameters.

    Raises:
        SpecError: It has none, or trains a tensor that is neither the base's nor an adapted module's.
    """
    if reason := not_weights(method, model, base):
        raise SpecError(f"evaluate.interpolate: {reason}; leave interpolate out, or the method.")


def not_weights(method: Method, model: nn.Module, base: Iterable[str]) -> str | None:
    """Return why what an attached method trains is no weights in the places of the base's, None where it is."""
    names, adapted = set(base), dict(adapted_modules(model))
    trained = (name for name, parameter in model.named_parameters() if parameter.requires_grad)
    lost = [n for n in trained if not is_below(n, adapted) and n.removeprefix(WRAPPED) not in names]
    return method.not_between or (f"it trains {lost[0]}, which the base has not" if lost else None)


def own_device(model: nn.Module) -> torch.device:
    """Return where a model is."""
    return next(model.parameters()).device


def is_below(name: str, modules: Iterable[str]) -> bool:
    """Return whether a tensor's name lies below one of the modules' paths."""
    return any(name.startswith(f"{path}.") for path in modules)


def _between(untouched: nn.Module, alpha: float) -> Callable[..., Tensor]:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return torch.lerp(untouched(*args).to(output.dtype), output, alpha)

    return hook


@torch.no_grad()
def _move(parameter: nn.Parameter, start: Tensor, alpha: float, stack: ExitStack) -> None:
    """Set a parameter between ``start`` and its value; the stack brings the value back, from the CPU's memory."""
    value = parameter.detach().cpu().clone()

    def back() -> None:
        with torch.no_grad():
            parameter.copy_(value)

    stack.callback(back)
    parameter.lerp_(start.to(parameter), 1 - alpha)
