"""The training loop: one for every method. Batching, precision, clipping and stepping are done here, once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from secura_bench.data.collate import Batch, collate
from secura_bench.data.example import Example, Task
from secura_bench.data.streams import MixedStream, RowStream
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.method import Method, StepContext
from secura_bench.models.sharded import has_shards, whole
from secura_bench.models.task_heads import TaskHeads
from secura_bench.spec.sections import LogSpec, Pace, TrainSpec
from secura_bench.training.checkpoints import load_optimizer_state, optimizer_state
from secura_bench.training.groups import check_order, groups_of, heads_group
from secura_bench.training.memory import release_all_memory
from secura_bench.training.micro_batches import PASS_TOKENS, PASS_TOKENS_ON_GPU, MicroBatches
from secura_bench.training.norms import gradient_norms, total_norm
from secura_bench.training.offload import offloaded
from secura_bench.training.optimizers import new_optimizer, set_rates
from secura_bench.training.processes import gather

if TYPE_CHECKING:
    from accelerate import Accelerator


class Diverged(Exception):  # noqa: N818 - an outcome, not a fault
    """The loss stopped being a number."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss is not finite at step {step}")
        self.step = step


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step did.

    Attributes:
        step: 1-based within the task. lr: the rate it used, where the method gives its parameters no other.
        loss: mean cross-entropy over the step's answer tokens. terms: the method's extra terms.
        grad_norm: L2 norm over all trained tensors, before clipping. tokens: answer tokens of the step.
        rows: rows of the step, replayed ones too. fed: tokens that went through the model, padding left out.
        figures: the method's own figures, and gradient norms, on the steps that ask for them.
    """

    step: int
    lr: float
    loss: float
    terms: dict[str, float]
    grad_norm: float
    tokens: int
    rows: int
    fed: int
    figures: dict[str, float]


class TrainingLoop:
    """Trains one run's model, task after task, with one optimizer throughout; and beside it ``heads``, where there are.

    Every process draws the same rows and takes its share of a step's micro-batches. So a step is the same on any
    number of processes. The loss of a step is the sum over its tokens, divided by the number of tokens of all
    micro-batches of all processes.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        method: Method,
        train: TrainSpec,
        pad_id: int,
        log: LogSpec | None = None,
        heads: TaskHeads | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.method = method
        self.train = train
        self.pad_id = pad_id
        self.log = log or LogSpec()
        self.micro_batches = MicroBatches(
            train.micro_batch_size,
            PASS_TOKENS if accelerator.device.type == "cpu" else PASS_TOKENS_ON_GPU,
            accelerator.num_processes,
            accelerator.process_index,
        )
        self.notes: list[str] = []
        self.heads = {} if heads is None else heads.named_parameters()
        if self.heads and accelerator.num_processes > 1:
            raise SpecError(
                "tasks of kind: classify: their heads are trained in one process; start the command without a launcher."
            )
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.trained += self.heads.values()
        self.inner = model  # without the wrapper of several processes: asking accelerate each time is slow
        self.optimizer = self._new_optimizer()
        self.model = accelerator.prepare_model(model, evaluation_mode=has_shards(model))  # those are data parallel

    def _new_optimizer(self) -> torch.optim.Optimizer:
        self.groups = groups_of(self.method, self.inner, self.train)
        if self.heads:
            self.groups.append(heads_group(self.heads, self.train))
        return new_optimizer(self.groups, self.train)

    def run_task(
        self,
        task: Task,
        stream: RowStream | MixedStream,
        steps: int,
        on_step: Callable[[StepReport], None],
        done: int = 0,
    ) -> None:
        """Train ``steps`` optimizer steps on ``task``; ``on_step`` is called after each.

        ``done`` steps were done before: the stream, the optimizer and the model are as they were after those. If
        ``on_step`` scores the model, it must call ``resume_training`` afterwards.

        Raises:
            Diverged: The loss or its gradient is not finite; the weights are as after the step before.
        """
        if (self.train.reset_optimizer or self.method.renews) and not done:
            self.optimizer = self._new_optimizer()
        self.resume_training()
        pace = self.train.pace(task.name)
        rates = [group.rate(pace.lr) for group in self.groups]
        for step in range(done + 1, steps + 1):
            rate = learning_rate(pace, step, steps)
            set_rates(self.optimizer, [learning_rate(pace, step, steps, lr) for lr in rates])
            examples = self.method.mix([task.train[i] for i in stream.draw(self.train.batch_size)])
            on_step(self._step(examples, step, rate))

    def resume_training(self) -> None:
        """Put the model into training mode. It walks all modules, so this is not done each step."""
        self.model.train()

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state, and the micro-batch if it had to be made smaller."""
        return {
            "optimizer": optimizer_state(self.optimizer),
            "groups": [list(group.names) for group in self.groups],
            "micro_batch": self.micro_batches.state,
            "notes": list(self.notes),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``.

        Raises:
            SpecError: The method groups its parameters in another way than it did.
        """
        if "groups" in state:
            check_order(self.method, self.groups, state["groups"])
        load_optimizer_state(self.optimizer, state["optimizer"])
        self.micro_batches.state, self.notes = state["micro_batch"], list(state["notes"])

    def _step(self, examples: Sequence[Example], step: int, rate: float) -> StepReport:
        while (done := self._accumulate(examples)) is None:
            self._halve(examples, step)
        total, terms = done
        if self.accelerator.num_processes > 1:
            total = self.accelerator.reduce(total, reduction="sum")
        if not math.isfinite(total.item()) or not all(math.isfinite(term) for term in terms.values()):
            self.optimizer.zero_grad(set_to_none=True)
            raise Diverged(step)
        inner = self.inner
        at_once = self.micro_batches.at_once(examples)
        cut = self.micro_batches.parts if self.train.micro_batch_size == "auto" else None
        self.method.after_backward(inner, StepContext(step, self._collate, self.method.loss, at_once, cut))
        asked = step % self.log.every == 0
        figures = gradient_norms(inner) if asked and self.log.gradient_norms else {}
        grad_norm = float(
            whole(torch.nn.utils.clip_grad_norm_(self.trained, self.train.clip_norm))
            if self.train.clip_norm
            else total_norm(self.trained)
        )
        if not math.isfinite(grad_norm):
            self.optimizer.zero_grad(set_to_none=True)
            raise Diverged(step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.method.after_step(inner, self.optimizer)
        if asked:
            figures |= self.method.measures(inner)
        return StepReport(
            step=step,
            lr=rate,
            loss=total.item(),
            terms=terms,
            grad_norm=grad_norm,
            tokens=sum(example.supervised for example in examples),
            rows=len(examples),
            fed=sum(len(example) for example in examples),
            figures=figures,
        )

    def _accumulate(self, examples: Sequence[Example]) -> tuple[torch.Tensor, dict[str, float]] | None:
        """Leave the step's gradient in the parameters; return this process's loss and the step's terms.

        None if memory ran out on the way, with the gradients dropped.
        """
        tokens = sum(example.weight * example.supervised for example in examples)
        shares = self.micro_batches.shares(examples)
        total = torch.zeros((), device=self.accelerator.device)
        terms: dict[str, torch.Tensor] = {}
        try:
            for position, share in enumerate(shares):
                batch = self._collate(share)
                last = position == len(shares) - 1
                with self.accelerator.no_sync(self.model) if not last else nullcontext():
                    with offloaded(self.inner) if self.train.offload else nullcontext():
                        loss = self.method.loss(self.model, batch)
                    # Terms enter once a step: each micro-batch adds its share of the tokens.
                    part = loss.sum / tokens
                    for name, term in loss.terms.items():
                        part = part + term * (loss.tokens / tokens)
                        terms[name] = terms.get(name, 0) + term.detach() * (loss.tokens / tokens)
                    # Data parallel averages gradients over processes; the step wants their sum.
                    self.accelerator.backward(part * self.accelerator.num_processes)
                    total += loss.sum.detach() / tokens
        except torch.OutOfMemoryError:
            if self.accelerator.num_processes > 1 or self.micro_batches.at_once(examples) == 1:
                raise
            self.optimizer.zero_grad(set_to_none=True)
            return None
        joined: dict[str, float] = {}
        for shared in gather({name: float(term) for name, term in terms.items()}):
            for name, value in shared.items():
                joined[name] = joined.get(name, 0.0) + value
        return total, joined

    def _halve(self, examples: Sequence[Example], step: int) -> None:
        """Let half as much through the model at once: the step's gradient is the same sum."""
        self.notes.append(f"out of memory at step {step}: {self.micro_batches.halve(examples)}")
        release_all_memory()

    def _collate(self, examples: Sequence[Example]) -> Batch:
        return collate(examples, self.pad_id).to(self.accelerator.device)


def learning_rate(pace: Pace, step: int, steps: int, lr: float | None = None) -> float:
    """Return the rate of ``step`` (1-based) out of a task's ``steps``: a linear warm-up, then the schedule.

    ``lr`` is where it starts: the spec's, or a group's own.

    ``linear`` falls to 0 after the last step, ``cosine`` follows half a cosine to 0; ``constant`` stays. Where
    ``schedule_steps`` are said, they end there instead, and the rate stays 0 from then on.
    """
    lr = pace.lr if lr is None else lr
    if step <= pace.warmup_steps:
        return lr * step / pace.warmup_steps
    end = steps if pace.schedule_steps is None else pace.schedule_steps
    done = min(1.0, (step - 1 - pace.warmup_steps) / max(1, end - pace.warmup_steps))
    if pace.schedule == "linear":
        return lr * (1 - done)
    if pace.schedule == "cosine":
        return lr * 0.5 * (1 + math.cos(math.pi * done))
    return lr
