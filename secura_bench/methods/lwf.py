"""Learning without forgetting (Li and Hoiem 2016, arXiv 1606.09282).

at the start of each task: teacher ← θ
for each of its steps:
    p ← softmax(z(teacher) / T), q ← softmax(z(θ) / T), at the answer positions of the step's rows
    loss = cross-entropy + λ T² KL(p ‖ q)
    θ ← optimizer(θ, ∇ loss)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn
from torch.func import functional_call

from secura_bench.adapters.stand_in import moving_tensors
from secura_bench.data.collate import Batch
from secura_bench.data.example import Task
from secura_bench.methods.divergence import KEPT_LOGITS, divergence
from secura_bench.methods.ewc import trained
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.method import Method, Options
from secura_bench.methods.parameters import ParameterCount
from secura_bench.models.head import reading
from secura_bench.spec.types import Number


class LwFOptions(Options):
    """How strongly the model is held to its teacher's outputs, and at which temperature; as in the paper."""

    model_config = ConfigDict(serialize_by_alias=True)

    lambda_: Annotated[Number, Field(alias="lambda", ge=0)] = 1.0
    """The weight of the distillation (λ)."""

    temperature: Annotated[Number, Field(gt=0)] = 2.0
    """What both models' logits are divided by (T)."""


class LwF(Method[LwFOptions]):
    """Loss + λ T² KL(teacher ‖ model) on the task's own rows, the teacher being the model as the task began.

    So what a model says of the new rows is to stay as it was; no row of an earlier task is kept. The first task's
    teacher is the base: as in the paper, what was learned before the first task is not to be forgotten either.

    Deviation: the paper's networks have an output layer a task, trained alone at first, and the old ones distil. A
    language model has one, and it distils at the answers' positions; of rows that classification heads answer, model
    and teacher are both read through the task's head as it is at that step. T² keeps the gradient's size whatever T is
    (Hinton et al. 2015); the paper leaves it out.

    Attributes:
        teacher: the tensors that training moves, as they were when the task began, by name.
    """

    name = "lwf"
    not_sharded = "its teacher is a whole model beside the trained one"
    Options = LwFOptions

    def __init__(self, options: LwFOptions | None = None) -> None:
        super().__init__(options)
        self.teacher: dict[str, Tensor] = {}

    def begin_task(self, model: nn.Module, task: Task) -> None:
        """Copy what moves: the teacher's other tensors are the model's."""
        self.teacher = {}  # before there are two
        self.teacher = {name: tensor.detach().clone() for name, tensor in _moving(model).items()}

    def terms(self, model: nn.Module, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the distillation, by a second forward, of the teacher, without gradient."""
        said, T = self.teacher_logits(model, batch), self.options.temperature
        return {"lwf": self.options.lambda_ * T**2 * divergence(said / T, logits.float() / T, batch.weights)}

    @torch.no_grad()
    def teacher_logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the teacher's logits (N, vocabulary) at the batch's answer positions, in eval mode."""
        inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
        # A loaded state comes on the CPU.
        self.teacher = {name: tensor.to(batch.input_ids.device) for name, tensor in self.teacher.items()}
        was_training = inner.training
        inner.eval()
        with reading(inner, batch) as logits_of:
            said = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "use_cache": False}
            output = functional_call(inner, self.teacher, (), said)
        inner.train(was_training)
        return logits_of(output).float()

    def footprint(self) -> Footprint:
        """The teacher's forward comes on a forward and a backward of the same size; the divergence keeps logits."""
        return replace(super().footprint(), relative_work=1.5, kept_logits=KEPT_LOGITS)

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held is the teacher."""
        held = sum(tensor.numel() for tensor in _moving(model).values())
        return replace(super().count_parameters(model), held=held)

    def state_dict(self) -> dict[str, Any]:
        """Return the teacher."""
        return {"teacher": dict(self.teacher)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.teacher = dict(state["teacher"])


def _moving(model: nn.Module) -> dict[str, Tensor]:
    """Return by name whatever a step may change: what is trained, and what adapters merge or average into."""
    return {**trained(model), **moving_tensors(model)}
