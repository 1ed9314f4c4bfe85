"""GPT-2's Conv1D, a linear layer whose weight lies the other way round: d×h, where ``nn.Linear`` has h×d."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from secura_bench.models.quantised import dense_weight


class LinearOfConv1D(nn.Linear):
    """A Conv1D seen as the linear layer that it is: its weight is the stored one's transpose, in the same memory."""

    def __init__(self, stored: Any) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = stored.weight.shape[::-1]
        self.weight = nn.Parameter(stored.weight.detach().t(), requires_grad=stored.weight.requires_grad)
        self.bias = stored.bias


def is_conv1d(module: nn.Module) -> bool:
    """Return whether ``module`` is transformers' Conv1D; by its name, since to import transformers takes seconds."""
    return type(module).__name__ == "Conv1D"


def as_linear(module: nn.Module) -> nn.Linear:
    """Return a linear module as ``nn.Linear``: itself, or of a Conv1D the other view of its weight."""
    return LinearOfConv1D(module) if is_conv1d(module) else module  # type: ignore[return-value]


def linear_weight(module: nn.Module) -> Tensor:
    """Return the weight of a linear module as h×d, a view of it; of a quantised one what it stands for."""
    weight: Any = dense_weight(module)
    return weight.t() if is_conv1d(module) else weight
