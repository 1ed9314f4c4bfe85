"""The linear probe: classification heads are trained on the untouched model, and nothing else (Alain and Bengio 2016).

for each step:
    loss = mean over rows of the cross-entropy of the task's head on the untouched model's hidden state
    head ← optimizer(head, ∇ loss)
"""

from __future__ import annotations

from torch import nn

from secura_bench.methods.method import Method


class HeadOnly(Method):
    """Trains the tasks' classification heads (``kind: classify``) and nothing of the model: what an adapter adds shows
    beside it.

    The heads and their training are those of every other method: the same draw, rows, rate and steps (arXiv 1610.01644).
    """

    name = "head_only"

    @property
    def not_between(self) -> str | None:
        """Its weights are the base's."""
        return "it trains nothing of the model"

    def attach(self, model: nn.Module) -> nn.Module:
        """Freeze everything."""
        model.requires_grad_(False)
        return model
