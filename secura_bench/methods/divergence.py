"""The Kullback-Leibler divergence of what two models say at a batch's answer positions."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

KEPT_LOGITS = 3
"""What it keeps for the backward pass, in fp32 logits: both log-probabilities, and the divergence by token."""


def divergence(of: Tensor, to: Tensor, weights: Tensor) -> Tensor:
    """Return KL(softmax(of) ‖ softmax(to)), the mean over answer positions by their weights; a scalar, in fp32.

    ``of`` and ``to`` are logits (N, vocabulary), ``weights`` (N,), as in the cross-entropy: rows that only fill up a
    process weigh nothing.
    """
    of, to = of.float().log_softmax(-1), to.float().log_softmax(-1)
    gaps = F.kl_div(to, of, log_target=True, reduction="none").sum(-1)
    return (weights * gaps).sum() / weights.sum().clamp(min=1e-12)
