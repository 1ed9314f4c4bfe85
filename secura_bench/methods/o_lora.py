"""O-LoRA: orthogonal low-rank adaptation (Wang et al. 2023, arXiv 2310.14152).

for each task t:
    A_t drawn, B_t ← 0; the pairs of the tasks before are frozen
    for each step:
        y = W x + (α / r) Σ_{i≤t} B_i A_i dropout(x)
        loss = cross-entropy + λ₁ Σ_{i<t} Σ |A_i A_tᵀ| + λ₂ (‖A_t‖ + ‖B_t‖), both over all adapted modules
        A_t, B_t ← optimizer(A_t, B_t, ∇ loss)
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from secura_bench.adapters.injection import DEFAULT_TARGETS, check_targets, inject
from secura_bench.adapters.pair_sum import PairSumLinear, pair_layers
from secura_bench.adapters.stand_in import moved_tensors
from secura_bench.data.collate import Batch
from secura_bench.data.example import Task
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.kept import Computing, Kept
from secura_bench.methods.method import Method, Options
from secura_bench.methods.options import Fraction, OwnSeed, Positive, Rank, Targets, resolve_seed
from secura_bench.methods.parameters import ParameterCount, count_adapted
from secura_bench.spec.each_task import check_one_each
from secura_bench.spec.types import Number

Strength = Annotated[Number, Field(ge=0)]


class OLoRAOptions(Options):
    """A pair's rank, scale and dropout, and the two penalties; the defaults are those of the authors' logged runs."""

    r: Rank = 8
    """The rank of each task's pair."""

    alpha: Positive = 32
    """What the pairs are scaled by, divided by r."""

    dropout: Fraction = 0.1
    """The share of the pairs' inputs that is dropped in training."""

    lambda1: Strength | tuple[Strength, ...] = 0.5
    """The strength of the orthogonality (λ₁): one for all tasks, or a list with one for each; the first task's has
    nothing to act on. The authors' run of 15 tasks has 0, then 0.5 eight times, then 5 six times."""

    lambda2: Strength = 0.0
    """The strength of the norms of the trained pair (λ₂)."""

    seed: OwnSeed = None
    """The seed that draws each further task's A; unset, the run's."""

    target_modules: Targets = DEFAULT_TARGETS
    """Names of the modules to adapt: the last part of their path in the model."""


class OLoRA(Method[OLoRAOptions]):
    """Loss + λ₁ Σ_{i<t} Σ |A_i A_tᵀ|: a new LoRA a task, its A held orthogonal to the frozen ones of earlier tasks.

    All pairs are summed in the forward, and no row or name of a task is needed to answer. Each pair starts with fresh
    moments, whatever ``train.reset_optimizer`` says.

    Deviation: both penalties are those of the authors' code, by which the published runs were made, on the rows of
    PEFT's lora_A: absolute values, and norms that are not squared, where the paper's equations have squares.
    """

    name = "o_lora"
    not_sharded = "it multiplies whole matrices of earlier tasks by the trained ones"
    Options = OLoRAOptions

    def __init__(self, options: OLoRAOptions | None = None) -> None:
        super().__init__(options)
        self.task = 0
        self._seed = resolve_seed(self.options.seed)
        self._optimizer: Optimizer | None = None

    @property
    def merges(self) -> bool:
        """Whether the pair is frozen at a boundary, and another in its place: no anchor would mean anything."""
        return True

    def attach(self, model: nn.Module) -> nn.Module:
        """Put the pairs into the targeted modules; the first task's A and B alone require grad."""
        model.requires_grad_(False)
        options = self.options
        inject(
            model,
            options.target_modules,
            lambda path, linear: PairSumLinear(linear, options.r, options.alpha, options.dropout),
        )
        return model

    def begin_task(self, model: nn.Module, task: Task) -> None:
        """Note where in the sequence we are.

        Raises:
            SpecError: ``lambda1`` is a list of another length than there are tasks.
        """
        given = self.options.lambda1
        if isinstance(given, tuple):
            try:
                check_one_each(given, task.count)
            except SpecError as error:
                raise SpecError(f"o_lora.lambda1: {error}") from None
        self.task = task.index

    def terms(self, model: nn.Module, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the orthogonality, from the second task on, and the norms, if they are asked for."""
        layers, given = [layer for _, layer in pair_layers(model)], self.options.lambda1
        terms = {}
        if self.task > 0:
            strength = given[self.task] if isinstance(given, tuple) else given
            terms["orthogonality"] = strength * torch.stack([layer.overlap() for layer in layers]).sum()
        if self.options.lambda2:
            norms = [norm for layer in layers for norm in (layer.A.float().norm(), layer.B.float().norm())]
            terms["norms"] = self.options.lambda2 * torch.stack(norms).sum()
        return terms

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Note whose moments they are."""
        self._optimizer = optimizer

    def end_task(self, model: nn.Module, task: Task) -> None:
        """Freeze the pair, unless no task comes after; the next one is drawn, with no moments of this one's."""
        if task.index == task.count - 1:
            return
        drawn = random.Random(f"o_lora/{self._seed}/{task.index}").getrandbits(63)
        generator = torch.Generator().manual_seed(drawn)
        for _, layer in pair_layers(model):
            layer.freeze_pair(generator)
            for parameter in (layer.A, layer.B):
                if self._optimizer is not None:
                    self._optimizer.state.pop(parameter, None)

    def weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the path and weight of every adapted module, with all pairs."""
        for path, layer in pair_layers(model):
            yield path, layer.effective_weight()

    def trained_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the trained pair and the earlier ones."""
        return super().trained_state(model) | moved_tensors(model)

    def measures(self, model: nn.Module) -> Mapping[str, float]:
        """Return the mean of |cos| between rows of the trained A and of the earlier ones, once there are some."""
        if not self.task:
            return {}
        with torch.no_grad():
            cosines = [_cosines(layer) for _, layer in pair_layers(model)]
        return {"overlap": float(torch.cat(cosines).mean())}

    def footprint(self) -> Footprint:
        """Count by formula; earlier pairs, frozen, keep nothing for the backward pass but what dropout let through."""
        return replace(super().footprint(), task_bytes=4, count_on_shapes=self.count_on_shapes, kept=self.kept_by)

    def count_on_shapes(self, model: nn.Module) -> ParameterCount:
        """Count by formula: r (h + d) a module; before the second task nothing is held."""
        paths = check_targets(model, self.options.target_modules)
        return count_adapted(model, paths, lambda h, d: self.options.r * (h + d))

    def kept_by(self, inputs: int, outputs: int, computing: Computing) -> Kept:
        """Return A x, dropout's mask and what it lets through; without dropout x is shared."""
        dropout = self.options.dropout > 0
        token = computing.scalar * (self.options.r + inputs * dropout) + computing.mask * inputs * dropout
        return Kept(token, shares=not dropout)

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held are the earlier pairs by now."""
        return super().count_parameters(model).with_held(sum(layer.held for _, layer in pair_layers(model)))

    def state_dict(self) -> dict[str, Any]:
        """Return the task's place in the sequence and the seed; the pairs are the model's."""
        return {"task": self.task, "seed": self._seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.task, self._seed = state["task"], state["seed"]


def _cosines(layer: PairSumLinear) -> Tensor:
    now, before = (nn.functional.normalize(A.float(), dim=1) for A in (layer.A, layer.earlier_A))
    return (before @ now.T).abs().flatten()
