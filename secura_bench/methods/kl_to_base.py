"""A divergence from the base model, as a penalty (the KL term of RLHF: Ziegler et al. 2019, arXiv 1909.08593).

for each step:
    p ← the base model's probabilities at the answer positions of the step's rows
    q ← the model's
    loss = cross-entropy + β KL(p ‖ q)
    θ ← optimizer(θ, ∇ loss)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from secura_bench.data.collate import Batch
from secura_bench.methods.divergence import KEPT_LOGITS, divergence
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.method import Method, Options
from secura_bench.models.head import answer_logits
from secura_bench.spec.types import Number


class KLToBaseOptions(Options):
    """How strongly the model is held to the base's outputs, and by which divergence; the defaults are ours."""

    beta: Annotated[Number, Field(ge=0)] = 1.0
    """The weight of the divergence (β)."""

    direction: Literal["forward", "reverse"] = "forward"
    """Which divergence: ``forward``, KL(base ‖ model), an average over what the base would say, or ``reverse``,
    KL(model ‖ base), as in RLHF."""


class KLToBase(Method[KLToBaseOptions]):
    """Loss + β KL(base ‖ model), a mean over the answer positions of the step's rows.

    Deviation: RLHF has the divergence on what the model itself says. Here both read the rows' answers, replayed rows'
    too where something is stacked that replays.
    """

    name = "kl_to_base"
    not_sharded = "the untouched model lies whole beside the trained one"
    needs_base = True
    Options = KLToBaseOptions

    def terms(self, model: nn.Module, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the divergence, by a second forward, of the base, without gradient."""
        assert self.base is not None  # noqa: S101 - lent before the start
        with torch.no_grad():
            base = answer_logits(self.base, batch)
        of, to = (base, logits) if self.options.direction == "forward" else (logits, base)
        return {"kl": self.options.beta * divergence(of, to, batch.weights)}

    def footprint(self) -> Footprint:
        """The base's forward is counted already; the divergence keeps logits."""
        return replace(super().footprint(), kept_logits=KEPT_LOGITS)
