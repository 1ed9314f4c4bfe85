"""Optimizers by name, among them AdamW in bf16 that rounds at random, so that small updates are kept on average."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from secura_bench.foundation.errors import SpecError
from secura_bench.models.sharded import local
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.groups import Group

_CHUNK = 1 << 24
"""Scalars updated at once: a large embedding would otherwise take several fp32 copies of itself."""


def new_optimizer(groups: Sequence[Group], train: TrainSpec) -> Optimizer:
    """Return the optimizer that ``train`` asks for, with a group of parameters for each of ``groups``.

    Raises:
        SpecError: It needs a package that is not installed.
    """
    parameters = [group.settings() for group in groups]
    settings: dict[str, Any] = {"lr": groups[0].lr, "weight_decay": train.weight_decay}
    adam = {**settings, "betas": train.betas, "eps": train.eps}
    stochastic = train.precision == "bf16_stochastic"
    if train.optimizer == "adafactor":
        from transformers.optimization import Adafactor

        # The rate is the spec's own, as for the others, not Adafactor's relative one.
        return Adafactor(parameters, **settings, scale_parameter=False, relative_step=False)
    if train.optimizer == "adamw_8bit":
        return _eight_bit(parameters, adam, stochastic)
    if stochastic:
        return StochasticAdamW(parameters, **adam)
    # On a GPU torch would update all tensors at once, which takes as much memory again as they do.
    return torch.optim.AdamW(parameters, **adam, foreach=False if groups[0].parameters[0].is_cuda else None)


def missing_extra(train: TrainSpec) -> str | None:
    """Return what has to be installed for ``train``, if it is not."""
    if train.optimizer != "adamw_8bit" or find_spec("torchao"):
        return None
    if find_spec("bitsandbytes") and train.precision != "bf16_stochastic":
        return None
    return "train.optimizer: adamw_8bit needs torchao: pip install 'secura-bench[lowmem]' (or set adamw)."


def _eight_bit(parameters: list[dict[str, Any]], adam: dict[str, Any], stochastic: bool) -> Optimizer:
    if find_spec("torchao"):
        from torchao.optim import AdamW8bit

        return AdamW8bit(parameters, **adam, bf16_stochastic_round=stochastic)
    if find_spec("bitsandbytes") and not stochastic:
        from bitsandbytes.optim import AdamW8bit as BitsAndBytes

        return BitsAndBytes(parameters, **adam)
    raise SpecError("train.optimizer: adamw_8bit needs torchao: pip install 'secura-bench[lowmem]' (or set adamw).")


def set_rates(optimizer: Optimizer, rates: Sequence[float]) -> None:
    """Set the learning rate of each group; torchao keeps it in a tensor, which must stay that tensor."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class StochasticAdamW(Optimizer):
    """AdamW (Loshchilov and Hutter 2019) on bf16 weights with bf16 moments, each step computed in fp32.

    New weights and moments are rounded stochastically: up or down with the probabilities that make the expectation
    the fp32 value. So an update far below bf16's spacing (0.4 % of the weight) moves the weight on average, and a
    second moment, which changes by 0.1 % a step at beta 0.999, does not freeze. 8 bytes a parameter, gradient
    included. Randomness comes from torch's generator of the weights' device; of divided weights each process draws for
    its part.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one step; without a closure, on the gradients that are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        count = int(state["step"])
        (beta1, beta2), lr = group["betas"], group["lr"]
        flat = (local(tensor).view(-1) for tensor in (parameter.data, state["exp_avg"], state["exp_avg_sq"]))
        pieces = (tensor.split(_CHUNK) for tensor in (*flat, local(gradient).reshape(-1)))
        for theta, m, v, g in zip(*pieces, strict=True):
            mean = m.float().lerp_(g.float(), 1 - beta1)
            square = v.float().mul_(beta2).addcmul_(g.float(), g.float(), value=1 - beta2)
            denominator = (square / (1 - beta2**count)).sqrt_().add_(group["eps"])
            new = theta.float().mul_(1 - lr * group["weight_decay"])
            new.addcdiv_(mean, denominator, value=-lr / (1 - beta1**count))
            theta.copy_(round_stochastically(new))
            m.copy_(round_stochastically(mean))
            v.copy_(round_stochastically(square))


def round_stochastically(x: Tensor) -> Tensor:
    """Return fp32 ``x`` in bf16, rounded to one of its two neighbours so that the expectation is ``x``.

    bf16 is the upper half of fp32's bits. Adding a uniform number below 2^16 to the lower half carries into the upper
    one with probability lower half / 2^16, which is how far ``x`` lies from its neighbour nearer zero. Infinities stay.
    """
    bits = x.contiguous().view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, device=x.device)
    return ((bits + noise) & -(1 << 16)).view(torch.float32).to(torch.bfloat16)
