"""How many parameters a method trains and holds, counted on a model or on its shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from secura_bench.adapters.conv1d import linear_weight


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of scalars.

    Attributes:
        trainable: given to the optimizer. effective: of these, those that ever have a gradient.
        total: in the model. held: beside it (anchors, averages, replayed tokens, an adapter's frozen matrices).
        per_layer: trainable, divided by the number of decoder layers that hold any.
    """

    trainable: int
    total: int
    held: int = 0
    effective: int = 0
    per_layer: float = 0.0

    def with_effective(self, effective: int) -> ParameterCount:
        """Return the count with another number of parameters that have a gradient."""
        return replace(self, effective=effective)

    def with_held(self, held: int) -> ParameterCount:
        """Return the count with what is held beside the model."""
        return replace(self, held=held)


def count_adapted(model: nn.Module, paths: Sequence[str], trained_by: Callable[[int, int], int]) -> ParameterCount:
    """Return the count of a frozen ``model`` with adapters at ``paths``; ``trained_by(h, d)`` is an h×d module's."""
    trainable = sum(trained_by(*linear_weight(model.get_submodule(path)).shape) for path in paths)
    layers = {match.group() for path in paths if (match := re.search(r"\.\d+\.", path))}
    total = trainable + sum(parameter.numel() for parameter in model.parameters())
    return ParameterCount(trainable, total, 0, trainable, trainable / max(1, len(layers)))
