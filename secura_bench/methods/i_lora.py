"""I-LoRA, in two versions: that of SECURA's public code, and that of its paper (Ren et al. 2024, arXiv 2402.18865).

for each W to adapt: A drawn, B ← 0; (A, B)_long ← (A, B)
for each step:
    loss = cross-entropy + γ d(θ_work, θ_long)
    θ_work ← optimizer(θ_work, ∇ loss)
    θ_long ← λ θ_long + (1 − λ) θ_work
at the end of a task (``boundary: merge``): W ← W + B A,  B ← 0,  θ_long ← θ_work
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from secura_bench.adapters.injection import DEFAULT_TARGETS, check_targets, inject, refuse_shared
from secura_bench.adapters.lora_pair import DualLoRALinear, dual_layers, long_term
from secura_bench.adapters.merging import Survival, survival_from
from secura_bench.adapters.stand_in import base_weights, moved_tensors
from secura_bench.data.collate import Batch
from secura_bench.data.example import Example, Task
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.buffers import Reservoir, halves
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.kept import Kept
from secura_bench.methods.method import Method, Options
from secura_bench.methods.options import OwnSeed, Positive, Rank, Targets, resolve_seed
from secura_bench.methods.parameters import ParameterCount, count_adapted
from secura_bench.models.head import answer_logits, head_at
from secura_bench.models.quantised import is_quantised
from secura_bench.spec.types import Number

_HIDDEN = {"weight": 1.0, "decay": 0.25, "boundary": "continue", "evaluate": "long_term"}


class ILoRAOptions(Options):
    """The version, and what both have; the defaults shown are those of ``logits``.

    With ``hidden`` the weight is 1 and the decay 0.25, nothing is merged, and the long-term pair is scored (ours).
    """

    consistency: Literal["logits", "hidden"] = "logits"
    """The version: ``logits`` is the public code's, ``hidden`` the paper's."""

    r: Rank = 8
    """The rank of both pairs."""

    weight: Annotated[Number, Field(ge=0)] = 0.99
    """The weight of the consistency loss (γ); 1 with ``hidden``. The public code has one λ for this and the decay."""

    decay: Annotated[Number, Field(ge=0, le=1)] = 0.99
    """How much of the average stays at a step (λ, α); at most 0.25 with ``hidden``."""

    boundary: Literal["merge", "continue"] = "merge"
    """Whether the working pair is merged at the end of a task; never with ``hidden``."""

    evaluate: Literal["working", "long_term"] = "working"
    """Which pair is scored; the long-term one with ``hidden``."""

    capacity: Positive = 500
    """How many rows the buffer holds, which ``hidden`` alone has."""

    seed: OwnSeed = None
    """The seed of the buffer; unset, the run's."""

    target_modules: Targets = DEFAULT_TARGETS
    """Names of the modules to adapt: the last part of their path in the model."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        hidden = isinstance(given, dict) and given.get("consistency") == "hidden"
        return {**_HIDDEN, **given} if hidden else given

    @field_validator("boundary")
    @classmethod
    def _hidden_never_merges(cls, value: str, info: ValidationInfo) -> str:
        if value == "merge" and info.data.get("consistency") == "hidden":
            raise ValueError("'hidden' keeps its average over the tasks and never merges; use 'continue'")
        return value

    @field_validator("capacity", "seed")  # called only where they are given
    @classmethod
    def _logits_has_no_buffer(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("consistency") == "logits":
            raise ValueError("is of the replay buffer, which 'logits' does without")
        return value


class ILoRA(Method[ILoRAOptions]):
    """Loss + γ d(θ_work, θ_long), θ_long ← λ θ_long + (1 − λ) θ_work: LoRA held near its own moving average.

    ``logits``, the public code's: loss + λ MSE(logits of the two), mean over answer positions and vocabulary;
    θ_long ← λ θ_long + (1 − λ) θ_work after each step. At the end of a task the working pair is merged into W.

    ``hidden``, the paper's: from the second task on each new row brings a replayed one, and the loss is
    (CE(new) + CE(replayed)) / 2 + γ mean(max(0, h_long − h_work)²): CE a mean over answer tokens, the other a mean
    over all hidden states (embeddings and every layer's output) at the replayed rows' tokens, padding left out.
    θ_long ← α θ_long + (1 − α) θ_work with α = min(1 − 1/(step + 1), 0.25) after step 1, 2, ...; so α is 0.25
    throughout, as in the authors' code, which counts from 1 too. New rows enter the buffer after the draw.

    The long-term pairs are buffers of the model, so its state holds them; and a merge changes frozen weights, so that
    state must hold those too.
    """

    name = "i_lora"
    not_sharded = "its averaged pair is held whole"
    published_per_layer = 262_000
    Options = ILoRAOptions

    def __init__(self, options: ILoRAOptions | None = None) -> None:
        super().__init__(options)
        self.steps = 0
        self.task = 0
        self.buffer = Reservoir(self.options.capacity, resolve_seed(self.options.seed))
        # Of the step under way, if it replays: its answer tokens, and the tokens of its replayed rows.
        self._tokens = self._replayed = 0
        self._hidden: tuple[Tensor, ...] = ()
        self.survival: Survival | None = None

    @property
    def merges(self) -> bool:
        """Whether the working pair is merged away at a boundary."""
        return self.options.boundary == "merge"

    @property
    def not_quantised(self) -> str | None:
        """Where the working pair is merged into the weights."""
        return "boundary: merge merges into the weights; set continue" if self.merges else None

    def attach(self, model: nn.Module) -> nn.Module:
        """Put both pairs into the targeted modules; the working A and B alone require grad."""
        model.requires_grad_(False)
        if self.merges:
            refuse_shared(model, self.options.target_modules, "set boundary: continue.")

        def adapt(path: str, linear: nn.Linear) -> nn.Module:
            if self.merges and is_quantised(linear):
                raise SpecError(f"boundary: nothing can be merged into {path}, which is quantised; use 'continue'.")
            return DualLoRALinear(linear, self.options.r)

        inject(model, self.options.target_modules, adapt)
        if self.options.consistency == "hidden":
            self._listen(model)
        return model

    def _listen(self, model: nn.Module) -> None:
        """Take the hidden states from the one forward that there is, inside any wrapper, in steps that replay."""

        def ask(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return args, {**kwargs, "output_hidden_states": True} if self._replayed else kwargs

        def keep(module: nn.Module, args: Any, output: Any) -> None:
            if self._replayed:
                self._hidden = output.hidden_states

        model.register_forward_pre_hook(ask, with_kwargs=True)
        model.register_forward_hook(keep)

    @property
    def replays(self) -> bool:
        """Only ``hidden`` has a buffer."""
        return self.options.consistency == "hidden"

    def begin_task(self, model: nn.Module, task: Task) -> None:
        """Note where in the sequence we are."""
        self.task = task.index

    def mix(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Add as many replayed rows as there are new ones (``hidden``, from the second task on)."""
        if self.options.consistency == "logits":
            return examples
        replayed = self.buffer.draw(len(examples)) if self.task > 0 else []
        for example in examples:
            self.buffer.add(example)
        self._replayed = sum(map(len, replayed))
        self._tokens = sum(example.supervised for example in (*examples, *replayed))
        return halves(examples, replayed, mean_over="tokens")

    def terms(self, model: nn.Module, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the consistency loss, by a second forward without gradient through the long-term pairs."""
        if self.options.consistency == "logits":
            with torch.no_grad(), long_term(model):
                target = answer_logits(model, batch)
            return {"consistency": self.options.weight * logits_gap(logits, target, batch.weights)}
        working, self._hidden = self._hidden, ()
        rows = batch.replayed
        if not self._replayed or not rows.any():
            return {}
        mask = batch.attention_mask[rows]
        with torch.no_grad(), long_term(model), head_at(model, batch.predicts[rows]):
            model(input_ids=batch.input_ids[rows], attention_mask=mask, use_cache=False)
        remembered, self._hidden = self._hidden, ()
        gap = hidden_gap([states[rows] for states in working], remembered, mask.bool()) / self._replayed
        # A micro-batch's terms are weighted by its share of the step's tokens, but its part of this mean is another.
        return {"consistency": self.options.weight * gap * (self._tokens / batch.weights.sum())}

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Let the long-term pairs follow."""
        self._replayed = 0
        self.steps += 1
        decay = self.options.decay
        if self.options.consistency == "hidden":
            decay = min(1 - 1 / (self.steps + 1), decay)
        for layer in dual_layers(model):
            layer.average(decay)

    def end_task(self, model: nn.Module, task: Task) -> None:
        """Merge the working pairs into W at the boundary, if there is one and that is wanted."""
        if self.merges and task.count > 1:
            self.survival = Survival.over([layer.merge() for layer in dual_layers(model)])

    def weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the path and weight of every adapted module, with the pair that is scored."""
        for path, module in model.named_modules():
            if isinstance(module, DualLoRALinear):
                yield path, module.effective_weight(self.options.evaluate == "long_term")

    def trained_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return both pairs, and the weights that the working one was merged into, if it was."""
        merged = base_weights(model) if self.survival is not None else {}
        return super().trained_state(model) | moved_tensors(model) | merged

    def measures(self, model: nn.Module) -> Mapping[str, float]:
        """Return what survived of the last merge, once there was one."""
        figures = self.survival.figures if self.survival else {}
        return {f"merge_{name}_step": value for name, value in figures.items()}

    @contextmanager
    def evaluating(self, model: nn.Module) -> Iterator[nn.Module]:
        """Lend the model with the pair that is to be scored."""
        with long_term(model) if self.options.evaluate == "long_term" else nullcontext():
            yield model

    def footprint(self) -> Footprint:
        """The long-term pairs' forward comes on a forward and a backward of the same size.

        ``hidden``: from the second task on a replayed row comes on each new one. ``logits``: the logits of the
        long-term pairs are kept, and their difference from the working ones.
        """
        hidden = self.options.consistency == "hidden"
        return replace(
            super().footprint(),
            relative_rows=2.0 if hidden else 1.0,
            relative_work=1.5,
            kept_logits=0 if hidden else 2,
            count_on_shapes=self.count_on_shapes,
            extra_rows=lambda rows, task: rows if hidden and task > 0 else 0,
            kept=lambda inputs, outputs, computing: Kept(computing.scalar * self.options.r),  # A x; x itself is shared
        )

    def count_on_shapes(self, model: nn.Module) -> ParameterCount:
        """Count by formula: r (h + d) a module, and as many held."""
        paths = check_targets(model, self.options.target_modules)
        count = count_adapted(model, paths, lambda h, d: self.options.r * (h + d))
        return count.with_held(count.trainable)

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held are the long-term pairs, and the token ids in the buffer by now."""
        pairs = sum(layer.held for layer in dual_layers(model))
        return replace(super().count_parameters(model), held=pairs + self.buffer.tokens)

    def state_dict(self) -> dict[str, Any]:
        """Return the count of steps, the task's place in the sequence, the buffer, and what survived of a merge."""
        return {
            "steps": self.steps,
            "task": self.task,
            "buffer": self.buffer.state_dict(),
            "survival": self.survival and self.survival.to_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.steps, self.task = state["steps"], state["task"]
        self.buffer.load_state_dict(state["buffer"])
        self.survival = survival_from(state["survival"])


def logits_gap(working: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of (working − target)², both (N, vocabulary), over vocabulary and answer positions.

    Positions count by their (N,) weights, as in the cross-entropy; rows that only fill up a process weigh nothing.
    """
    squares = (working.float() - target.float()).square().mean(dim=1)
    return (weights * squares).sum() / weights.sum().clamp(min=1e-12)


def hidden_gap(working: Sequence[Tensor], target: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Return the sum of max(0, target − working)² over the positions of ``mask`` (B, T), a mean over layers and width.

    Each layer's states are (B, T, width). The working states are drawn up to the long-term ones, never down: where
    they are larger already, they are let be (Ren et al. 2024).
    """
    gaps = [(t[mask].float() - w[mask].float()).clamp(min=0) for w, t in zip(working, target, strict=True)]
    return torch.stack([gap.square().sum() for gap in gaps]).sum() / sum(gap.shape[-1] for gap in gaps)
