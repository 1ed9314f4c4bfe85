"""What a module in the place of a linear one shows of it: some models look at its weight, not only call it."""

from __future__ import annotations

from torch import Tensor, nn


class LinearStandIn(nn.Module):
    """A module around the frozen linear layer ``base``; its ``weight`` and ``bias`` are the base's, as in PEFT.

    Mamba asks its head's ``weight.dtype`` in every forward. A model that computes with such a weight itself never calls
    the module: ``reached`` refuses that.
    """

    base: nn.Linear

    @property
    def weight(self) -> Tensor:
        """The base's weight, without the update: (h, d)."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The base's bias: (h,)."""
        return self.base.bias
