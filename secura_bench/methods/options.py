"""Types of options that several methods share, and what they mean on a model."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field, Strict
from torch import nn

from secura_bench.foundation.errors import SpecError
from secura_bench.spec.types import Number, as_list

Positive = Annotated[int, Strict(), Field(gt=0)]

Rank = Annotated[int, Strict(), Field(gt=0, le=2**16)]
"""A rank: more than any matrix that is adapted has could not be held in memory, and would add nothing."""

Fraction = Annotated[Number, Field(ge=0, lt=1)]
Targets = Annotated[tuple[str, ...], BeforeValidator(as_list), Field(min_length=1)]
"""Names of the modules to adapt: the last part of their path in the model."""


def _size(value: Any) -> Any:
    if isinstance(value, float) and value >= 1 and not value.is_integer():
        raise ValueError(f"must be a whole number, or a fraction of the hidden size below 1 (here: {value!r})")
    return value


Size = Annotated[Number, BeforeValidator(_size), Field(gt=0)]
"""A rank: a whole number, or below 1 a fraction of the model's hidden size."""


OwnSeed = Annotated[int, Strict()] | None
"""A method's own seed; unset, the run's."""


def resolve_seed(seed: int | None) -> int:
    """Return ``seed``, or the one that torch was seeded with, as a run does first of all."""
    return torch.initial_seed() if seed is None else seed


def resolve_size(size: float, model: nn.Module) -> int:
    """Return ``size`` as a whole number; a fraction is taken of the model's hidden size and rounded, 1 at least.

    Raises:
        SpecError: A fraction, and the model does not say what its hidden size is.
    """
    if size >= 1:
        return int(size)
    config: Any = getattr(model, "config", None)
    text = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config  # of several parts
    hidden = getattr(text, "hidden_size", None)
    if hidden is None:
        raise SpecError(f"{size} is a fraction of the hidden size, which {type(model).__name__} does not tell.")
    return max(1, round(size * hidden))
