"""Experience replay (Rolnick et al. 2019, arXiv 1811.11682; Chaudhry et al. 2019, arXiv 1902.10486).

for each step of task t:
    new ~ the task's rows
    replayed ~ the buffer, ratio · |new| rows, if t > 1
    offer each new row to the buffer
    loss = mean over the answer tokens of new ∪ replayed
    θ ← optimizer(θ, ∇ loss)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn

from secura_bench.data.example import Example, Task
from secura_bench.methods.buffers import BufferKind, halves, new_buffer, together
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.method import Method, Options
from secura_bench.methods.options import OwnSeed, Positive, resolve_seed
from secura_bench.methods.parameters import ParameterCount
from secura_bench.spec.types import Number


class EROptions(Options):
    """The buffer, in examples, how many replayed rows come on each new one, and the loss; the defaults are ours."""

    buffer: BufferKind = "reservoir"
    """Which rows are kept: a uniform sample of all (``reservoir``), or one in which tasks have equal shares
    (``balanced``)."""

    capacity: Positive = 1000
    """How many rows are kept."""

    ratio: Annotated[Number, Field(gt=0)] = 1.0
    """How many replayed rows come on each new one."""

    seed: OwnSeed = None
    """The seed that draws rows in and out; unset, the run's."""

    loss: Literal["tokens", "halves"] = "tokens"
    """What the loss is a mean over: ``tokens`` of new and replayed rows together, as in any other step, or ``halves``,
    (mean over new rows + mean over replayed rows) / 2, a row's loss being the mean over its tokens: below ``ratio`` 1 a
    replayed row then weighs more than a new one. Records from before there was a choice have ``halves``."""


class ER(Method[EROptions]):
    """Loss over new rows ∪ replayed rows: from the second task on, each step replays rows out of a buffer.

    During the first task nothing is replayed, and a step is one as without ER. Rows enter the buffer as they are
    trained on, the current task's too; a replayed row never enters again. The buffer knows no boundaries: in later
    tasks, rows of the current one may be replayed.

    Deviation: Chaudhry's Algorithm 1 replays within the first task already, and its rows are labelled images, of which
    a mean over rows and one over tokens are the same; Rolnick's CLEAR is for reinforcement learning, and its terms that
    hold the policy near the remembered one are not here.
    """

    name = "er"
    Options = EROptions

    def __init__(self, options: EROptions | None = None) -> None:
        super().__init__(options)
        self.buffer = new_buffer(self.options.buffer, self.options.capacity, resolve_seed(self.options.seed))
        self.task = 0

    def begin_task(self, model: nn.Module, task: Task) -> None:
        """Note where in the sequence we are."""
        self.task = task.index

    def mix(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Add replayed rows and offer the new ones to the buffer: after drawing, so that none meets itself."""
        replayed: list[Example] = []
        if extra := self.replayed_rows(len(examples), self.task):
            replayed = self.buffer.draw(extra)
        for example in examples:
            self.buffer.add(example)
        if self.options.loss == "halves":
            return halves(examples, replayed, mean_over="rows")
        return together(examples, replayed)

    def replayed_rows(self, rows: int, task: int) -> int:
        """Return how many rows are replayed in a step of ``rows`` new ones, in task number ``task`` from 0."""
        return max(1, round(self.options.ratio * rows)) if task > 0 else 0

    def footprint(self) -> Footprint:
        """A new row brings, from the second task on, its share of replayed ones."""
        return replace(super().footprint(), relative_rows=1 + self.options.ratio, extra_rows=self.replayed_rows)

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held are the token ids in the buffer by now."""
        count = super().count_parameters(model)
        return replace(count, held=self.buffer.tokens)

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer and the task's place in the sequence."""
        return {"task": self.task, "buffer": self.buffer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.task = state["task"]
        self.buffer.load_state_dict(state["buffer"])
