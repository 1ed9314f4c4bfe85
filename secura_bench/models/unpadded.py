"""A batch's padding kept out of the MLPs, which are most of a model's work: no number moves.

An MLP maps each token for itself, and what it makes of padding is masked in the attention of the next layer. On a CPU a
row of a product in fp32 has the same bits however many rows there are, but for a handful; a model's MLP is asked
whether that is so. Where it is not, on GPUs, and in 16 bits, padding is computed as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

_WHOLE = 32  # as many numbers are taken at once where an activation is computed; what is left over rounds otherwise
_WORTH_IT = 0.9  # of a batch's positions at most: to pick tokens and to put them back takes time as well
_ASKED = (32, 64, 96, 160, 256)  # of how many tokens the bits must be those that they have among the most of them
_KNOWN: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


@contextmanager
def unpadded(model: nn.Module, real: Tensor) -> Iterator[None]:
    """Within this context the MLPs of ``model`` see of a batch only what is ``real`` (B, T), 1 on tokens, 0 on padding.

    Padding makes their number up to a multiple of 32; of the rest they make zeros. For forwards that need no gradient.
    """
    if real.device.type != "cpu":
        yield
        return
    count = -(-int(real.sum()) // _WHOLE) * _WHOLE
    if count > _WORTH_IT * real.numel():
        yield
        return
    places = real.flatten().argsort(descending=True, stable=True)[:count].sort().values
    mlps = _mlps(model)

    def pick(mlp: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor] | None:
        hidden = inputs[0] if len(inputs) == 1 else None
        if not isinstance(hidden, Tensor) or hidden.shape[:-1] != real.shape or not _moves_no_bit(mlps[-1], hidden):
            return None
        return (hidden.flatten(0, 1).index_select(0, places).unsqueeze(0),)

    def put_back(mlp: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        if len(inputs) != 1 or inputs[0].shape[:-1] != (1, count):
            return None
        whole: Tensor = output.new_zeros((real.numel(), output.shape[-1]))
        return whole.index_copy_(0, places, output[0]).view(*real.shape, -1)

    with ExitStack() as hooks:
        for mlp in mlps:
            hooks.callback(mlp.register_forward_pre_hook(pick).remove)
            hooks.callback(mlp.register_forward_hook(put_back).remove)
        yield


def _mlps(model: nn.Module) -> list[nn.Module]:
    """Return the layers' MLPs of the last one's kind that have linear layers' weights alone, and no hook on them."""
    named = [module for name, module in model.named_modules() if name.rsplit(".", 1)[-1] == "mlp"]
    return [mlp for mlp in named if type(mlp) is type(named[-1]) and all(map(_is_plain, mlp.modules()))]


def _is_plain(module: nn.Module) -> bool:
    has_weights = next(module.parameters(recurse=False), None) is not None
    return not (module._forward_hooks or module._forward_pre_hooks or (has_weights and type(module) is not nn.Linear))


def _moves_no_bit(mlp: nn.Module, hidden: Tensor) -> bool:
    """Return whether what ``mlp`` makes of some tokens is, bit for bit, what it makes of them among more.

    It is asked once, on numbers of its own: the answer depends on no batch.
    """
    if hidden.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    if mlp not in _KNOWN:
        width = hidden.shape[-1]
        made_up = torch.arange(_ASKED[-1] * width, dtype=torch.float32).sin().view(1, _ASKED[-1], width)
        whole = mlp.forward(made_up)
        _KNOWN[mlp] = isinstance(whole, Tensor) and all(
            torch.equal(mlp.forward(made_up[:, :count]), whole[:, :count]) for count in _ASKED[:-1]
        )
    return _KNOWN[mlp]
