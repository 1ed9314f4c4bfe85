"""Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796; online: Schwarz et al. 2018, 1805.06370).

for each step of task t:
    loss = cross-entropy + λ/2 Σ F (θ − θ*)², the second from t > 1 on
    θ ← optimizer(θ, ∇ loss)
at the end of task t:
    F_t = mean over rows of (∇ log p(answer))²
    F ← γ F + F_t,  θ* ← θ
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)
from torch import Tensor, nn
from torch.nn import functional as F

from secura_bench.data.collate import Batch, collate
from secura_bench.data.example import Example, Task
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.method import Method, Options
from secura_bench.methods.options import OwnSeed, Positive, resolve_seed
from secura_bench.methods.parameters import ParameterCount
from secura_bench.models.head import answer_logits
from secura_bench.models.sharded import has_shards, is_sharded, like, local, summed, whole
from secura_bench.spec.types import Number


class EWCOptions(Options):
    """How strongly weights are held, to what, and where the two tensors that this takes live."""

    model_config = ConfigDict(serialize_by_alias=True)

    variant: Literal["online", "separate"] = "online"
    """What weights are held to: where the last task ended (``online``), or where each task did (``separate``)."""

    lambda_: Annotated[Number, Field(alias="lambda", ge=0)] = 400.0
    """The strength; 400 is TRACE's. It means nothing without the scale of F, so the log has F's mean beside it."""

    gamma: Annotated[Number, Field(ge=0, le=1)] = 1.0
    """The share of F that stays at a task's end."""

    fisher_samples: Positive = 200
    """How many rows F is a mean over."""

    device: Literal["same", "cpu"] = "same"
    """Where F and θ* are kept: with the weights (``same``) or on the ``cpu``."""

    dtype: Literal["fp32", "bf16"] = "fp32"
    """How F and θ* are kept. ``bf16`` halves the memory, and rounds an anchor by up to 0.4 % of the weight: more than a
    small learning rate moves it."""

    fisher_dtype: Literal["fp32", "bf16"] | None = None
    """How F alone is kept, if not as ``dtype`` says. ``bf16`` rounds it by up to 2⁻⁸ of itself at each task's end, and
    so the penalty's pull; the anchor stays."""

    seed: OwnSeed = None
    """The seed that draws the rows of F; unset, the run's."""

    @field_validator("gamma")
    @classmethod
    def _separate_forgets_nothing(cls, value: float, info: ValidationInfo) -> float:
        if value != 1 and info.data.get("variant") == "separate":
            raise ValueError("'separate' holds all tasks alike; forgetting old ones is what 'online' does")
        return value

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what runs of before had not, where it is unset: they are called what they were."""
        return {key: value for key, value in serialize(self).items() if key != "fisher_dtype" or value is not None}


class EWC(Method[EWCOptions]):
    """Loss + λ/2 Σ F (θ − θ*)², with F the diagonal of the Fisher information at the end of each task.

    ``online``: F ← γ F + F_t, and θ* is where the last task ended. ``separate``: one such penalty a task, summed. As a
    sum of parabolas is a parabola, these too take one F and one θ* (``absorb``): nothing grows with the tasks. So the
    two variants differ, at γ 1, in θ* alone, and after one task not at all.

    Deviation: stacked on LoRA it holds what is trained, A and B each at its own anchor, and not their product B A, by
    which alone the model changes: a step that leaves the product as it is has its price too.

    Attributes:
        fisher: Σ F_t by parameter name. anchors: θ* by parameter name. offset: what of ``separate`` is constant.
        fisher_mean: F's mean over all trained weights, on which λ depends; None before the first task has ended.
    """

    name = "ewc"
    anchors_weights = True
    Options = EWCOptions

    @property
    def not_sharded(self) -> str | None:  # type: ignore[override]
        """Where F and θ* lie elsewhere than the parts of the weights."""
        return "device: cpu holds F and θ* whole; set same" if self.options.device == "cpu" else None

    def __init__(self, options: EWCOptions | None = None) -> None:
        super().__init__(options)
        self.fisher: dict[str, Tensor] = {}
        self.anchors: dict[str, Tensor] = {}
        self.offset = 0.0
        self.fisher_mean: float | None = None

    def terms(self, model: nn.Module, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the penalty, from the second task on."""
        if not self.fisher:
            return {}
        in_parts = has_shards(model)
        penalty = torch.full((), 0.0 if in_parts else self.offset, device=logits.device)
        for name, parameter in trained(model).items():
            if self.options.device == "same":  # a loaded state comes on the CPU, and whole
                self.fisher[name] = like(parameter, self.fisher[name]).to(parameter.device)
                self.anchors[name] = like(parameter, self.anchors[name]).to(parameter.device)
            penalty = penalty + Pull.apply(local(parameter), local(self.fisher[name]), local(self.anchors[name]))
        if in_parts:
            penalty = summed(penalty, parameter) + self.offset
        return {"ewc": self.options.lambda_ * penalty}

    def end_task(self, model: nn.Module, task: Task) -> None:
        """Measure F on rows of ``task`` and hold the weights where they are now; after the last task nobody asks."""
        if task.index == task.count - 1:
            return
        generator = random.Random(f"fisher/{resolve_seed(self.options.seed)}/{task.index}/{task.name}")
        rows = generator.sample(task.train, min(self.options.fisher_samples, len(task.train)))
        if self.options.variant == "online":
            self.anchors = {}  # the new ones are the weights: nobody needs the old ones beside a new F
        fisher = diagonal_fisher(model, rows, on_cpu=self.options.device == "cpu")
        for name, parameter in trained(model).items():
            new = fisher.pop(name)
            theta = parameter.detach().to(new.device).float()
            if name in self.fisher:
                old = like(parameter, self.fisher[name]).to(new.device, new.dtype)
                if self.options.variant == "separate":
                    anchor = like(parameter, self.anchors[name]).to(new.device, new.dtype)
                    new, theta, offset = absorb(old, anchor, new, theta)
                    self.offset += offset
                else:
                    new = self.options.gamma * old + new
            self.fisher[name] = self._stored(new, self._fisher_dtype)
            self.anchors[name] = self._stored(theta, self.options.dtype)
        sizes = sum(fisher.numel() for fisher in self.fisher.values())
        self.fisher_mean = sum(float(whole(fisher.sum(dtype=torch.float64))) for fisher in self.fisher.values()) / sizes

    def measures(self, model: nn.Module) -> Mapping[str, float]:
        """Return F's mean, once there is one."""
        return {} if self.fisher_mean is None else {"fisher_mean": self.fisher_mean}

    @property
    def _fisher_dtype(self) -> str:
        return self.options.fisher_dtype or self.options.dtype

    def _stored(self, tensor: Tensor, dtype: str) -> Tensor:
        device = "cpu" if self.options.device == "cpu" else tensor.device
        return tensor.to(device, torch.bfloat16 if dtype == "bf16" else torch.float32, copy=True)

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held are F and θ*, from the end of the first task on."""
        count = super().count_parameters(model)
        return replace(count, held=2 * count.trainable)

    def footprint(self) -> Footprint:
        """F and θ* lie where and as the options say; at a boundary the new F comes beside them, in fp32.

        ``online`` has let go of the old θ* by then.
        """
        fisher, anchor = (2 if dtype == "bf16" else 4 for dtype in (self._fisher_dtype, self.options.dtype))
        held, on_cpu = (fisher + anchor) // 2, self.options.device == "cpu"
        return replace(
            super().footprint(),
            held_bytes=(0, held) if on_cpu else (held, 0),
            boundary_bytes=(0, 4) if on_cpu else (4, 0),
            boundary_held=fisher / (fisher + anchor) if self.options.variant == "online" else 1.0,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return F, θ*, the constant and F's mean."""
        tensors = {"fisher": dict(self.fisher), "anchors": dict(self.anchors)}
        return {**tensors, "offset": self.offset, "fisher_mean": self.fisher_mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.fisher, self.anchors = dict(state["fisher"]), dict(state["anchors"])
        self.offset, self.fisher_mean = state["offset"], state["fisher_mean"]


def diagonal_fisher(model: nn.Module, rows: Sequence[Example], *, on_cpu: bool = False) -> dict[str, Tensor]:
    """Return the mean over ``rows`` of (∇ Σ log p(answer tokens))², in fp32, by name of the trained parameter.

    The labels are the observed ones (the empirical Fisher), each row goes through the model alone and in eval mode,
    and its tokens are summed: squares of a mean, or of a batch's gradient, are another quantity. Gradients that the
    parameters carry are left alone. ``on_cpu`` sums on the CPU: an fp32 sum for every weight of a large model would
    not fit beside it.
    """
    parameters = trained(model)
    fisher = {
        name: torch.zeros_like(p, dtype=torch.float32, device="cpu" if on_cpu else p.device)
        for name, p in parameters.items()
    }
    was_training = model.training
    model.eval()
    for row in rows:
        batch = collate([row], pad_id=0).to(next(iter(parameters.values())).device)  # one row has no padding
        with torch.enable_grad():
            loss = F.cross_entropy(answer_logits(model, batch).float(), batch.targets, reduction="sum")
        gradients = _gradients(loss, list(parameters.values()))
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                fisher[name] += (gradient.float().square() / len(rows)).to(fisher[name].device)
        del gradient, gradients, loss  # or they would stay while the next row's are made
    model.train(was_training)
    return fisher


def _gradients(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Sequence[Tensor | None]:
    """Return the gradients; an expert that a row was not routed to has none.

    Of divided parameters only a whole backward pass brings them, the mean over processes: all have the same row.
    """
    if not any(map(is_sharded, parameters)):
        return torch.autograd.grad(loss, list(parameters), allow_unused=True)
    carried = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    found = [parameter.grad for parameter in parameters]
    for parameter, gradient in zip(parameters, carried, strict=True):
        parameter.grad = gradient
    return found


def absorb(F1: Tensor, a1: Tensor, F2: Tensor, a2: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return F, a and c with ½ Σ F1 (θ − a1)² + ½ Σ F2 (θ − a2)² = ½ Σ F (θ − a)² + c for every θ.

        F = F1 + F2,  a = a1 + (F2 / F) (a2 − a1),  c = ½ Σ (F1 F2 / F) (a2 − a1)²

    Where neither has any information, a is a2.
    """
    total = F1 + F2
    share = torch.where(total > 0, F2 / total, 1.0)
    apart = a2 - a1
    return total, a1 + share * apart, 0.5 * float(whole((F1 * share * apart.square()).sum()))


class Pull(torch.autograd.Function):
    """½ Σ F (θ − θ*)² and its gradient F (θ − θ*).

    Written out because autograd would keep θ − θ* of every parameter until the backward pass: as much memory again as
    the model takes, and on its device even if F and θ* wait on the CPU.
    """

    @staticmethod
    def forward(ctx: Any, theta: Tensor, fisher: Tensor, anchor: Tensor) -> Tensor:
        """Return the scalar."""
        ctx.save_for_backward(theta, fisher, anchor)
        apart = theta.float() - anchor.to(theta.device)
        return 0.5 * (fisher.to(theta.device) * apart.square()).sum()

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient for θ; F and θ* have none."""
        theta, fisher, anchor = ctx.saved_tensors
        apart = theta.float() - anchor.to(theta.device)
        held = fisher.to(theta.device, anchor.dtype)  # or one in bf16 beside an anchor in fp32 would be rounded again
        return (outer * held * apart).to(theta.dtype), None, None


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name; a data-parallel wrapper does not change the names."""
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    return {name: parameter for name, parameter in inner.named_parameters() if parameter.requires_grad}
