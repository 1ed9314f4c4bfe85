"""The linear probe (Alain and Bengio, arXiv 1610.01644): classification heads are trained on the untouched model.

for each step:
    loss = mean over rows of the cross-entropy of the task's head on the untouched model's hidden state
    head ← optimizer(head, ∇ loss)
"""

from __future__ import annotations

from torch import nn

from secura_bench.methods.method import Method


class HeadOnly(Method):
    """Trains the tasks' classification heads (``kind: classify``) and nothing of the model.

    They begin, and are trained, as beside every other method: what an adapter adds shows beside this row.
    """

    name = "head_only"
    not_sharded = "its heads are trained in one process"

    @property
    def not_between(self) -> str | None:
        """Its weights are the base's."""
        return "it trains nothing of the model"

    def attach(self, model: nn.Module) -> nn.Module:
        """Freeze everything."""
        model.requires_grad_(False)
        return model
