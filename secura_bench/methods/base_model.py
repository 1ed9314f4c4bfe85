"""The base model itself, untouched: ``base``."""

from __future__ import annotations

from torch import nn

from secura_bench.methods.method import Method


class Base(Method):
    """The untouched model: the row against which forgetting is measured. Nothing is trained."""

    name = "base"
    stream = "none"

    def attach(self, model: nn.Module) -> nn.Module:
        """Freeze everything."""
        model.requires_grad_(False)
        return model
