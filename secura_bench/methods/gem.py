"""GEM, gradient episodic memory (Lopez-Paz and Ranzato 2017, arXiv 1706.08840).

for each step of task t:
    g = ∇ loss
    g_k = ∇ of the mean cross-entropy on rows of task k, out of the memory, for k = 1 … t − 1;  G = (g_1 … g_{t−1})ᵀ
    if any g_k · g < 0:
        v = argmin ½ vᵀ G Gᵀ v + gᵀ Gᵀ v  subject to v ≥ γ
        g ← g + Gᵀ v
    θ ← optimizer(θ, g)
    offer each of the step's rows to the memory
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from secura_bench.methods.buffers import Balanced
from secura_bench.methods.episodic import Episodic
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.memory_gradients import add_to_own, inner, own_gradient
from secura_bench.methods.method import Options, StepContext
from secura_bench.methods.options import OwnSeed, Positive, resolve_seed
from secura_bench.spec.types import Number

_SAME = 1e-7  # of fp32 gradients: directions that differ by less are one


class GEMOptions(Options):
    """The memory, how much of it a step looks at, and the margin; but for the margin the defaults are ours."""

    capacity: Positive = 1000
    """How many rows are kept, of all tasks together; these have equal shares."""

    ratio: Annotated[Number, Field(gt=0)] = 1.0
    """How many rows of each earlier task a step looks at for each of its own. The authors look at all that are kept."""

    margin: Annotated[Number, Field(ge=0)] = 0.5
    """γ, the least that is added of each earlier task's gradient where any is violated (memory strength); 0.5 is the
    authors' code's. At 0 the gradient is the nearest one that violates none."""

    seed: OwnSeed = None
    """The seed that draws rows in and out; unset, the run's."""


class GEM(Episodic[GEMOptions]):
    """g ← g + Gᵀ v: the gradient next to g that goes against no earlier task's, by a quadratic program in v.

    Each task's gradient is one vector over all that is trained, and all of them are held at once: t − 1 times the
    trained weights, and as many more passes through the model, in every step of task t.

    Deviation: a step looks at a draw of each task's rows (``ratio``), not at all of them; G Gᵀ is taken as it is, while
    the authors' code adds 0.001 to its diagonal; rows are kept as a uniform sample of a task's, not its last.
    """

    name = "gem"
    not_sharded = "it projects whole gradients"
    Options = GEMOptions

    def __init__(self, options: GEMOptions | None = None) -> None:
        options = options or GEMOptions()
        super().__init__(options, Balanced(options.capacity, resolve_seed(options.seed)))

    def after_backward(self, model: nn.Module, step: StepContext) -> None:
        """Move the step's gradient to where it goes against no earlier task's, from the second task on."""
        drawn = [self.reference(model, step, self.options.ratio, [task]) for task in self.past]
        references = [reference for reference in drawn if reference]
        own = own_gradient(model)
        along = np.array([inner(own, reference) for reference in references])
        if not (along < 0).any():
            return
        self.projected += 1
        gram = np.array([[inner(a, b) for b in references] for a in references])
        for reference, share in zip(references, dual(gram, along, self.options.margin), strict=True):
            add_to_own(model, reference, float(share))

    def footprint(self) -> Footprint:
        """Each earlier task's gradient is held beside the step's, and its rows go through the model as well."""
        return replace(
            super().footprint(),
            memory_gradients=lambda task: task,
            memory_rows=lambda task: self.options.ratio * task,
        )


def dual(gram: NDArray[np.float64], along: NDArray[np.float64], margin: float = 0.0) -> NDArray[np.float64]:
    """Return argmin ½ vᵀ P v + bᵀ v subject to v ≥ margin, with P = G Gᵀ (``gram``) and b = G g (``along``).

    With v = margin + u and P = Aᵀ A it is min ‖A u − c‖² over u ≥ 0, Aᵀ c = −(b + P margin): non-negative least
    squares, which SciPy solves by Lawson and Hanson's active sets. Rows of G are scaled to length 1 first; a row that
    others make up, or that is zero, leaves v undetermined, but not Gᵀ v.
    """
    from scipy.optimize import nnls

    lengths = np.sqrt(np.diag(gram))
    scale = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    values, vectors = np.linalg.eigh(gram * np.outer(scale, scale))
    there = values > _SAME * values.max()
    roots, vectors = np.sqrt(values[there]), vectors[:, there]
    target = -scale * (along + gram @ np.full(len(along), margin))
    u, _ = nnls(roots[:, None] * vectors.T, vectors.T @ target / roots)
    shares: NDArray[np.float64] = margin + scale * u
    return shares
