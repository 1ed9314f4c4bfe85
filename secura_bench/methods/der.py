"""DER++, dark experience replay (Buzzega et al. 2020, arXiv 2004.07211).

for each step:
    g = ∇ loss on the task's rows
    if the memory holds any:
        x₁ ~ the memory, with the logits z₁ that were kept;  x₂ ~ the memory, with its answers
        g ← g + ∇ (α mean (logits(x₁) − z₁)² + β cross-entropy(x₂))
    offer each of the step's rows to the memory, with its logits as the model gives them now
    θ ← optimizer(θ, g)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from secura_bench.data.example import Example
from secura_bench.methods.buffers import Reservoir
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.memory_gradients import add_to_own, gradient_on
from secura_bench.methods.method import Method, Options, StepContext
from secura_bench.methods.options import OwnSeed, Positive, resolve_seed
from secura_bench.methods.parameters import ParameterCount
from secura_bench.models.head import answer_logits
from secura_bench.spec.types import Number

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class DEROptions(Options):
    """The memory, the two weights, and how logits are kept."""

    capacity: Positive = 200
    """How many rows are kept; the default is ours. Each takes answer tokens · vocabulary logits: at 49,152 entries and
    10 tokens 2 MB in fp32."""

    ratio: Annotated[Number, Field(gt=0)] = 1.0
    """How many rows each of the two draws takes for each of a step's own; at 1 each is as large as the batch, as in
    the paper."""

    alpha: Annotated[Number, Field(ge=0)] = 0.1
    """α, the weight of the mean squared error to the kept logits; the default is ours, of the size that is usual for
    small images. For language models none is published."""

    beta: Annotated[Number, Field(ge=0)] = 0.5
    """β, the weight of the cross-entropy of the second draw; from the same place. At 0 it is DER."""

    logits_dtype: Literal["fp32", "bf16"] = "fp32"
    """How logits are kept, in the CPU's memory. ``bf16`` halves it, and loses nothing where the model computes so."""

    seed: OwnSeed = None
    """The seed that draws rows in and out; unset, the run's."""


class DER(Method[DEROptions]):
    """Loss + α MSE(logits, those when the row was learned) + β CE(replayed rows), on two draws from one reservoir.

    The mean squared error is over answer tokens and vocabulary, or a head's labels. It needs no boundaries: rows enter
    as they are trained on, and are replayed from the second step on, within the first task too.

    Deviation: kept logits are made without dropout, by a forward of their own for the rows that are kept; the authors
    take those of the training step. The two extra losses are no part of the step's logged loss.

    Attributes:
        logits: of each row of the buffer, in its order, the kept (answer tokens, vocabulary).
    """

    name = "der"
    not_sharded = "it keeps logits and adds gradients of its own"
    Options = DEROptions

    def __init__(self, options: DEROptions | None = None) -> None:
        super().__init__(options)
        self.buffer = Reservoir(self.options.capacity, resolve_seed(self.options.seed))
        self.logits: dict[int, Tensor] = {}
        self._new: Sequence[Example] = ()

    def mix(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Note the step's rows; they stay what they are."""
        self._new = examples
        return examples

    def after_backward(self, model: nn.Module, step: StepContext) -> None:
        """Add the gradients of both replays, then let the step's rows into the memory."""
        if held := self.buffer.examples:
            count = min(max(1, round(self.options.ratio * len(self._new))), len(held))
            first, second = (self.buffer.generator.sample(range(len(held)), count) for _ in range(2))
            kept = {id(held[place]): self.logits[place] for place in first}

            def apart(logits: Tensor, targets: Tensor, rows: Sequence[Example]) -> Tensor:
                if any(row.head for row in rows):
                    return _apart_by_head(logits, [kept[id(row)] for row in rows])
                goal = torch.cat([kept[id(row)] for row in rows]).to(logits)
                return (logits - goal).square().mean(dim=1).sum()

            draw = self.buffer.generator
            if self.options.alpha:
                add_to_own(model, gradient_on(model, [held[i] for i in first], step, draw, apart), self.options.alpha)
            if self.options.beta:
                add_to_own(model, gradient_on(model, [held[i] for i in second], step, draw), self.options.beta)
        self._remember(model, step)

    def _remember(self, model: nn.Module, step: StepContext) -> None:
        """Offer the step's rows to the memory, and keep the logits of those that stay."""
        places = []
        for example in self._new:
            if (place := self.buffer.next_place()) is not None:
                self.buffer.put(place, replace(example))  # an object of its own: a row may be held more than once
                places.append(place)
        self._new = ()
        places = sorted(set(places))
        if not places:
            return
        was_training = model.training
        model.eval()
        size = step.micro_batch or len(places)
        for start in range(0, len(places), size):
            part = places[start : start + size]
            rows = [self.buffer.examples[place] for place in part]
            with torch.no_grad():
                logits = answer_logits(model, step.collate(rows))
            apart = logits.to("cpu", _DTYPES[self.options.logits_dtype]).split([row.supervised for row in rows])
            own = zip(part, rows, apart, strict=True)
            self.logits |= {place: said[:, : _outputs(row)].clone() for place, row, said in own}
        model.train(was_training)

    def footprint(self) -> Footprint:
        """Two draws go through the model beside a step's rows, and their gradient is made beside the step's."""
        rows = self.options.ratio * ((self.options.alpha > 0) + (self.options.beta > 0))
        return replace(
            super().footprint(),
            memory_gradients=lambda task: int(rows > 0),
            memory_rows=lambda task: rows,
            memory_logits=(self.options.capacity, _DTYPES[self.options.logits_dtype].itemsize),
        )

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held are the token ids and logits in the memory by now."""
        logits = sum(kept.numel() for kept in self.logits.values())
        return super().count_parameters(model).with_held(self.buffer.tokens + logits)

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer, and the kept logits in its order."""
        return {"buffer": self.buffer.state_dict(), "logits": [self.logits[place] for place in sorted(self.logits)]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.buffer.load_state_dict(state["buffer"])
        self.logits = dict(enumerate(state["logits"]))


def _outputs(row: Example) -> int | None:
    """Return how many logits are a row's: its labels', where a classification head answers; None for all."""
    return len(row.row.choices or ()) if row.head else None


def _apart_by_head(logits: Tensor, goals: Sequence[Tensor]) -> Tensor:
    """Return the squared errors to ``goals``, one a row, of heads that differ in size: each a mean over its own."""
    rows = zip(logits.split([len(goal) for goal in goals]), goals, strict=True)
    gaps = [(said[:, : goal.shape[1]] - goal.to(said)).square().mean(dim=1).sum() for said, goal in rows]
    return torch.stack(gaps).sum()
