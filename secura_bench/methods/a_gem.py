"""A-GEM, averaged gradient episodic memory (Chaudhry et al. 2019, arXiv 1812.00420).

for each step of task t:
    g = ∇ loss
    g_ref = ∇ of the mean cross-entropy on rows of tasks 1 … t − 1, out of the memory
    if g · g_ref < 0:  g ← g − (g · g_ref / g_ref · g_ref) g_ref
    θ ← optimizer(θ, g)
    offer each of the step's rows to the memory
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field
from torch import nn

from secura_bench.methods.buffers import BufferKind, new_buffer
from secura_bench.methods.episodic import Episodic
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.memory_gradients import add_to_own, inner, own_gradient
from secura_bench.methods.method import Options, StepContext
from secura_bench.methods.options import OwnSeed, Positive, resolve_seed
from secura_bench.spec.types import Number


class AGEMOptions(Options):
    """The memory, in rows, and how much of it a step looks at; the defaults are ours."""

    buffer: BufferKind = "reservoir"
    """Which rows are kept: a uniform sample of all (``reservoir``), or one in which tasks have equal shares
    (``balanced``)."""

    capacity: Positive = 1000
    """How many rows are kept."""

    ratio: Annotated[Number, Field(gt=0)] = 1.0
    """How many rows of the memory a step looks at for each of its own."""

    seed: OwnSeed = None
    """The seed that draws rows in and out; unset, the run's."""


class AGEM(Episodic[AGEMOptions]):
    """g ← g − (g · g_ref / g_ref · g_ref) g_ref where g · g_ref < 0: no step against the mean of what is remembered.

    g and g_ref are each one vector over all that is trained, g with whatever penalties are stacked. It is projected
    before it is clipped and before the optimizer, so under Adam the step itself may still have a part against g_ref.

    Deviation: rows enter the memory as they are trained on; the authors fill it at the end of a task. Either way g_ref
    is of earlier tasks alone.
    """

    name = "a_gem"
    not_sharded = "it projects whole gradients"
    Options = AGEMOptions

    def __init__(self, options: AGEMOptions | None = None) -> None:
        options = options or AGEMOptions()
        super().__init__(options, new_buffer(options.buffer, options.capacity, resolve_seed(options.seed)))

    def after_backward(self, model: nn.Module, step: StepContext) -> None:
        """Take out of the step's gradient what goes against the memory's, from the second task on."""
        reference = self.reference(model, step, self.options.ratio, self.past)
        along = inner(own_gradient(model), reference)
        if along < 0:
            self.projected += 1
            add_to_own(model, reference, -along / inner(reference, reference))

    def footprint(self) -> Footprint:
        """From the second task on g_ref is held beside g, and its rows go through the model as well."""
        return replace(
            super().footprint(),
            memory_gradients=lambda task: int(task > 0),
            memory_rows=lambda task: self.options.ratio * (task > 0),
        )
