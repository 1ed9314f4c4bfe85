"""An exponential moving average of the trained weights is what is scored and kept (Polyak and Juditsky 1992).

for each step n = 1, 2, …:
    θ ← optimizer(θ, ∇ loss)
    θ̄ ← θ if n = 1 else δ θ̄ + (1 − δ) θ
score the model with θ̄ in place of θ
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from secura_bench.methods.ewc import trained
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.method import Method, Options
from secura_bench.methods.options import Fraction
from secura_bench.methods.parameters import ParameterCount


class EMAOptions(Options):
    """How slowly the average follows."""

    decay: Fraction = 0.99
    """δ, how much of the average stays at a step: about 1 / (1 − δ) steps are averaged. 0.99 is that of the first
    epochs of Mean Teacher (Tarvainen and Valpola 2017, arXiv 1703.01780), which then takes 0.999; at 0 nothing is."""


class EMA(Method[EMAOptions]):
    """θ̄ ← δ θ̄ + (1 − δ) θ after each step, from the first step's weights on; training goes on from θ.

    The average is of what is trained, in fp32, and goes on over the tasks. It is scored, kept and exported; the weights
    that are trained are in checkpoints alone.

    Deviation: stacked on an adapter it averages the factors A and B, each by itself, and not their product.

    Attributes:
        average: θ̄ by parameter name, empty before the first step.
    """

    name = "ema"
    not_sharded = "it scores an average in the place of the trained weights, which parts do not allow"
    anchors_weights = True  # a merge would move what was averaged away from under it
    Options = EMAOptions

    def __init__(self, options: EMAOptions | None = None) -> None:
        super().__init__(options)
        self.average: dict[str, Tensor] = {}

    @torch.no_grad()
    def after_step(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Let the average follow."""
        for name, parameter in trained(model).items():
            if name in self.average:
                self.average[name] = self.average[name].to(parameter.device)  # a loaded state comes on the CPU
                self.average[name].lerp_(parameter.float(), 1 - self.options.decay)
            else:
                self.average[name] = parameter.detach().float().clone()

    @contextmanager
    def evaluating(self, model: nn.Module) -> Iterator[nn.Module]:
        """Lend the model with the average in place of what is trained."""
        parameters = trained(model)
        working = {name: parameters[name].data for name in self.average}
        for name, average in self.average.items():
            parameters[name].data = average.to(parameters[name])
        try:
            yield model
        finally:
            for name, weights in working.items():
                parameters[name].data = weights

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held is the average, as large as what is trained."""
        count = super().count_parameters(model)
        return count.with_held(count.trainable)

    def footprint(self) -> Footprint:
        """The average lies with the weights, in fp32; the loss knows nothing of it."""
        return replace(super().footprint(), anchors_weights=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"average": dict(self.average)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.average = dict(state["average"])
