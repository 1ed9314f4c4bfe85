"""A method's hooks in a Trainer, whatever loss that computes: attached, stepped, saved and taken up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import DefaultFlowCallback, TrainerCallback, TrainingArguments, set_seed

from secura_bench.adapters.put_back import put_back
from secura_bench.data.collate import Batch, collate
from secura_bench.data.example import Example, Task
from secura_bench.foundation.errors import BenchError, SpecError
from secura_bench.integrations.no_heads import refuse_classified, refuse_heads_alone
from secura_bench.methods.build import build_method
from secura_bench.methods.lending import attached
from secura_bench.methods.method import Method, StepContext
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.checkpoints import latest_checkpoint, read_checkpoint, save_checkpoint
from secura_bench.training.groups import groups_of
from secura_bench.training.loop import Diverged
from secura_bench.training.precision import prepare_training
from secura_bench.training.unsaved import Unsaved

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState

_Trainer: Any = object  # whichever Trainer stands behind it in a class's bases

STATE = "method"
"""The folder inside a Trainer's checkpoint that holds what is trained and the method's own state."""

_REFUSED = {
    "fp16": "the method would see scaled gradients; set bf16",
    "auto_find_batch_size": "a step that is tried again would be the method's second; set gradient_accumulation_steps",
    "load_best_model_at_end": "the weights of one step would meet the method's state of another; keep the last",
}


class MethodHooks(_Trainer):
    """Runs a method's hooks where a Trainer has places for them; a class of the Trainer's stands behind it.

    ``attach`` and ``start`` come before the Trainer is made, ``begin_task`` when training begins, ``after_backward``
    once a step, before clipping, ``after_step`` once a step, before anything is logged, saved or scored, ``end_task``
    when training ends. Checkpoints hold ``trained_state`` and ``state_dict`` in place of the whole model.
    """

    run: _Run
    optimizer: torch.optim.Optimizer | None

    def __init__(
        self,
        model: nn.Module | None = None,
        args: TrainingArguments | None = None,
        *,
        task: Task,
        method: str | Mapping[str, Any] | Method | None = None,
        after: MethodHooks | None = None,
        sources: Mapping[str, Sequence[Example]] | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        **others: Any,
    ) -> None:
        args = args or TrainingArguments()
        refuse_arguments(args)
        refuse_classified(task.name, task.train)
        self.task = task
        if after is not None:
            if method is not None or model is not None:
                raise SpecError("after: it brings its model and its method; leave 'model' and 'method' out.")
            self.run, model = after.run, after.model
        elif method is None or model is None:
            raise SpecError("a method and a model are needed, or 'after': the trainer of the task before.")
        else:
            set_seed(args.seed)  # as the Trainer does, but ahead of what is drawn when a method is attached
            built, train = method_of(method), train_spec(args)
            hand_over(built, sources or {})
            model = attached(built, model.to(args.device), lambda model: prepare_training(model, train))
            refuse_heads_alone(built, model)
            self.run = _Run(built, Unsaved(built, model), task)
        self.method = self.run.method
        self.terms: dict[str, float] = {}
        self._step_loss: torch.Tensor | float = 0.0
        self._resume_from: Path | None = None
        steps = _Steps(self)
        super().__init__(model, args, callbacks=[steps, *callbacks], **others)
        come_early(self, steps)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the optimizer that the arguments name, with the method's own groups of parameters.

        Raises:
            SpecError: The optimizer makes groups of its own.
        """
        if self.optimizer is None:
            found = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(self.args, self.model)
            kind, settings = found
            plain = isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
            if not plain or {"params", "model", "optimizer_dict"} & settings.keys():
                raise SpecError(f"optim: {self.args.optim} groups parameters by itself, as a method does; set adamw.")
            groups = groups_of(self.method, self.model, train_spec(self.args))
            self.optimizer = kind([group.settings() for group in groups], **settings)
        return self.optimizer

    def has_no_step_left(self) -> bool:
        """Return whether every step is done, and say stop: resumed there, a Trainer would do one more."""
        done: bool = self.state.global_step >= self.state.max_steps
        self.control.should_training_stop = self.control.should_training_stop or done
        return done

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Do the Trainer's, and once the step's gradient is whole the method's ``after_backward``.

        Raises:
            Diverged: The step's loss is not finite; the weights are as after the step before.
        """
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        self._step_loss = self._step_loss + loss
        if self.accelerator.sync_gradients:
            whole, self._step_loss, step = float(self._step_loss), 0.0, self.state.global_step + 1
            if not torch.isfinite(torch.tensor(whole)):
                self.model.zero_grad()
                raise Diverged(step)
            at_once = self.args.per_device_train_batch_size
            self.method.after_backward(self.model, StepContext(step, self.batch_of, self.method.loss, at_once))
        return loss

    def batch_of(self, examples: Sequence[Example]) -> Batch:
        """Return ``examples`` padded, where the model is."""
        pad = getattr(self.processing_class, "pad_token_id", None)
        return collate(examples, 0 if pad is None else pad).to(self.args.device)

    def log(self, logs: dict[str, float], *given: Any, **named: Any) -> None:
        """Log, beside a step's loss, its extra terms and the method's own figures."""
        if "loss" in logs:
            logs |= {**self.terms, **self.method.measures(self.model)}
        super().log(logs, *given, **named)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model as the Trainer does; into a checkpoint, what is trained and the method's state alone.

        Raises:
            SpecError: It would not be the whole state.
        """
        if not _internal_call:
            super().save_model(output_dir, _internal_call)
            return
        self.run.unsaved.check()
        task = {"name": self.task.name, "index": self.task.index, "count": self.task.count}
        trained = self.method.trained_state(self.model)
        parts = {"task": task, "model": trained, "method": self.method.state_dict()}
        save_checkpoint(Path(output_dir or self.args.output_dir) / STATE, parts)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Note where to go on from: the first task begins on the model as it was before anything was trained."""
        self._resume_from = Path(resume_from_checkpoint)

    def begin(self) -> None:
        """Begin the task, or go on from a checkpoint within it.

        Raises:
            SpecError: The options do not go with the number of steps.
            BenchError: The checkpoint is damaged, of no method, or of another task.
        """
        self.method.check_steps(self.state.max_steps * self.task.count)
        resumed, self._resume_from = self._resume_from, None
        if not self.run.begun:
            self._begin_first(resumed)
        if resumed is not None:
            self._go_on(resumed)
        elif self.task is not self.run.first:
            self.method.begin_task(self.model, self.task)

    def _begin_first(self, resumed: Path | None) -> None:
        """Begin the first of the run's tasks: on a resume within a later one too, as in any process of a run."""
        if resumed is None and self.task is not self.run.first:
            raise SpecError(f"task {self.task.name!r} comes after {self.run.first.name!r}: train that one first.")
        self.method.begin_task(self.model, self.run.first)
        self.run.unsaved.began()
        self.run.begun = True

    def _go_on(self, folder: Path) -> None:
        found, problems = latest_checkpoint(folder / STATE)
        if found is None:
            raise BenchError(next(iter(problems), f"{folder}: holds no state of a method; it is another trainer's."))
        state = read_checkpoint(found)
        if (state["task"]["name"], state["task"]["index"]) != (self.task.name, self.task.index):
            raise BenchError(f"{folder}: is of task {state['task']['name']!r}, not of {self.task.name!r}.")
        put_back(self.model, state["model"])
        self.method.load_state_dict(state["method"])


@dataclass
class _Run:
    """What the trainers of a sequence of tasks share; ``begun`` is said of the first task, in this process."""

    method: Method
    unsaved: Unsaved
    first: Task
    begun: bool = False


class _Steps(TrainerCallback):
    """Calls the hooks for which a Trainer has events; it stands before the callbacks that score or save."""

    def __init__(self, trainer: MethodHooks) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._trainer.begin()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        optimizer: Any = self._trainer.optimizer  # in accelerate's wrapper, but for a user's own
        self._trainer.method.after_step(self._trainer.model, getattr(optimizer, "optimizer", optimizer))

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._trainer.method.end_task(self._trainer.model, self._trainer.task)


def come_early(trainer: Any, callback: TrainerCallback) -> None:
    """Move a callback before those that show and report, which close when training ends; a method's hooks stay first.

    What decides when to log and save stays before it.
    """
    callbacks = trainer.callback_handler.callbacks
    callbacks.remove(callback)
    before = [at for at, one in enumerate(callbacks) if isinstance(one, DefaultFlowCallback | _Steps)]
    callbacks.insert(max(before, default=-1) + 1, callback)


def method_of(entry: str | Mapping[str, Any] | Method) -> Method:
    """Return a method from what a spec says of one (a name, or a mapping with its options), or as it is.

    Raises:
        SpecError: Unknown name or option; or the method trains nothing.
    """
    if not isinstance(entry, Method):
        spec = MethodSpec.model_validate(entry)
        entry = build_method(spec.name, **spec.options)
    if not entry.trains:
        raise SpecError(f"method {entry.name!r} trains nothing; a Trainer has nothing to do with it.")
    return entry


def hand_over(method: Method, sources: Mapping[str, Sequence[Example]]) -> None:
    """Hand a method the rows that it reads beside its tasks'.

    Raises:
        SpecError: It reads rows that are not there. DataError: A classification head answers them.
    """
    for name in method.sources:
        if name not in sources:
            raise SpecError(
                f"method {method.name!r} reads rows of {name!r}, and nobody hands them over: give "
                f"sources={{{name!r}: read_source({name!r}, tokenizer)}}."
            )
        refuse_classified(name, sources[name])
        method.take(name, sources[name])


def refuse_arguments(args: TrainingArguments) -> None:
    """Refuse settings of a Trainer under which a method would do something else.

    Raises:
        SpecError: Names the argument and the way out.
    """
    for name, why in _REFUSED.items():
        if getattr(args, name, False):
            raise SpecError(f"{name}: {why}.")
    if args.world_size > 1 or args.n_gpu > 1:
        raise SpecError(
            "a method's buffers and merges must be the same in every process, which a Trainer does not see to; train "
            "in one (CUDA_VISIBLE_DEVICES=0), or with `torchrun -m secura_bench run`."
        )


def train_spec(args: TrainingArguments) -> TrainSpec:
    """Return what of a Trainer's arguments a spec's ``train`` has words for."""
    return TrainSpec(
        lr=args.learning_rate,
        steps=max(1, args.max_steps),
        batch_size=args.per_device_train_batch_size * args.gradient_accumulation_steps,
        micro_batch_size=args.per_device_train_batch_size,
        weight_decay=args.weight_decay,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_epsilon,
        clip_norm=args.max_grad_norm or None,
        precision="bf16" if args.bf16 else "fp32",
    )
