"""What a model forgets while any Trainer trains it: scored on the way, logged, recorded, and a reason to stop."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import nn
from transformers import TrainerCallback, TrainingArguments

from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.schema import slug
from secura_bench.integrations.method_hooks import MethodHooks, come_early, train_spec
from secura_bench.integrations.no_heads import needs_head
from secura_bench.integrations.rows import task_named
from secura_bench.integrations.untouched import untouched
from secura_bench.integrations.watched_run import WatchedRun
from secura_bench.methods.method import Method
from secura_bench.plan.make import make_plan
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.runs import Moment
from secura_bench.runs.scorer import finite
from secura_bench.runs.session import TrainingOutcome
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.sections import DataSpec, EvaluateSpec
from secura_bench.tasks.catalog import load_task

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState


class ForgettingCallback(TrainerCallback):
    """Scores a probe and the learned task while a Trainer trains, by the bench's own scoring.

        trainer.add_callback(ForgettingCallback(trainer, probe="f_task", rows="my_rows.jsonl", every=50))

    ``kept`` (the probe's score as percent of the base's, with the ends of its 95 % interval) and ``learned`` (the
    score on the task's test rows) go to whatever the Trainer logs to. When training ends, a record lies in ``results``
    beside one of the base model; ``secura-bench report`` reads both, alone or beside the bench's own runs of an
    experiment of that name. Training goes on as if nobody had looked: every generator and every module's mode is put
    back. With a method's trainer the record is of that method, and the model is scored as the method lends it.

    The base model is scored once, the first time it is met in ``results``: it is loaded for that beside the model in
    training. Perplexity apart, ``kept`` is missing where the base's score is not told apart from chance.

    Args:
        trainer: The trainer that it is added to.
        probe: A task, a named list or a file of rows: knowledge that was there before.
        rows: The learned task, or its file of rows; its test side is scored. ``read_task`` gives the other side. Of a
            sequence of tasks all of them, in order: ``follow`` makes the callbacks of the trainers to come.
        every: Optimizer steps between scorings; the end is scored in any case.
        stop_below: A bound in percent; training stops once the whole interval of what is kept lies below it.
        results, experiment: Where the record goes, as for ``secura-bench run``.
        label: What tables call the run; the method's name, or the trainer's class.
        model: The base model, where the trainer's model does not say what it was loaded from.
        probe_rows, evaluate, data: As in a spec: how many rows of the probe; protocols, limit and batch size (the first
            protocol is the one that is logged); how rows are split.

    Raises:
        BenchError: The base model, the probe or the rows cannot be used.
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        probe: str,
        rows: str | Sequence[str],
        every: int,
        stop_below: float | None = None,
        results: str | Path = "results",
        experiment: str = "trainer",
        label: str | None = None,
        model: str | None = None,
        probe_rows: int | None = None,
        evaluate: EvaluateSpec | None = None,
        data: DataSpec | None = None,
    ) -> None:
        if every < 1:
            raise SpecError(f"every: must be a number of steps, 1 or more (here: {every}).")
        hooks = trainer if isinstance(trainer, MethodHooks) else None
        tasks = tuple(map(task_named, [rows] if isinstance(rows, str) else rows))
        self.index = 0
        self._check_place(trainer, len(tasks))
        self.trainer, self.every, self.stop_below = trainer, every, stop_below
        self.method = hooks.method if hooks else Method()
        precision = _precision(trainer)
        train = train_spec(trainer.args).model_copy(update={"precision": precision})
        spec = ExperimentSpec(
            experiment=experiment,
            mode="separate" if len(tasks) == 1 else "sequence",
            model=model or _loaded_from(trainer.model),
            tasks=tasks,
            probe=task_named(probe),
            probe_rows=probe_rows,
            methods=("base",),
            train=train,
            evaluate=(evaluate or EvaluateSpec()).model_copy(update={"every": every}),
            data=data or DataSpec(),
            seeds=(trainer.args.seed,),
            threads=torch.get_num_threads(),
        )
        kind = type(trainer).__name__
        label = label or slug(f"{self.method.name}-{kind}" if hooks else kind, "trainer")
        named = MethodSpec(name=self.method.name if hooks else "trainer", label=label)
        options = self.method.options.model_dump(mode="json") if hooks else _adapter(trainer.model)
        settings = {"trainer": kind, **_length(trainer.args)}
        for name in (*tasks, *spec.own_parts):
            if load_task(name).labels:
                raise needs_head(name)
        with untouched(trainer.model):
            plan = make_plan(spec)
        self.run = WatchedRun(plan, Path(results), named, options, train, settings, trainer.args.seed)
        self._stopped: str | None = None
        self._began = self._scoring = 0.0

    def follow(self, trainer: Trainer) -> ForgettingCallback:
        """Return the callback for the next task's trainer, which goes on with the same record.

        Raises:
            SpecError: There is no next task, or the trainer is of another.
        """
        following = copy.copy(self)
        following.trainer, following.index = trainer, self.index + 1
        following._check_place(trainer, len(self.run.tasks))
        return following

    def _check_place(self, trainer: Trainer, count: int) -> None:
        if self.index >= count:
            raise SpecError(f"rows: names {count} of the tasks that are trained, one after another; name them all.")
        task = trainer.task if isinstance(trainer, MethodHooks) else None
        if task and (task.index, task.count) != (self.index, count):
            raise SpecError(
                f"rows: the trainer's is task {task.index + 1} of {task.count}, and this watches {self.index + 1} of "
                f"{count}. Name all of them in 'rows', and give each trainer the callback that 'follow' returns."
            )

    @property
    def task(self) -> str:
        """The task that is being trained."""
        return self.run.tasks[self.index]

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Score the base model, if it has not been, and the model as it starts, if that may be another."""
        self._began = time.monotonic()
        come_early(self.trainer, self)
        with untouched(self.trainer.model):
            self.run.begin(args.device, self.index, state.global_step)
            self.run.score_base(args.device)
            known = isinstance(self.trainer, MethodHooks) and self.method.starts_as_base
            if self.index == state.global_step == 0 and not (known and self.run.run.train.precision == "fp32"):
                self.run.score(self.method, self.trainer.model, Moment(None, 0, True))
        self._scoring = time.monotonic() - self._began

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Score every so often; stop where what is kept has surely fallen below the bound."""
        if state.global_step % self.every or state.global_step >= state.max_steps or control.should_training_stop:
            return
        kept = self._score(Moment(self.task, state.global_step, False))
        if self.stop_below is not None and kept.high < self.stop_below:
            self._stopped = (
                f"stopped at step {state.global_step} of {state.max_steps}: kept {kept.value:.1f} "
                f"({kept.low:.1f} to {kept.high:.1f}) lies below {self.stop_below:g}"
            )
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Keep a step's line for the record's ``log.jsonl``."""
        if logs and "loss" in logs:
            line = {"task": self.task, "step": state.global_step, "loss": logs["loss"]}
            line |= {"lr": logs.get("learning_rate"), "grad_norm": logs.get("grad_norm"), "terms": {}}
            self.run.folder.log({name: finite(v) if isinstance(v, float) else v for name, v in line.items()})

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Score the end of the task; after the last, write the record."""
        self._score(Moment(self.task, state.global_step, True))
        self.run.seconds = self._seconds()
        self._began = self._scoring = 0.0
        if self.index == len(self.run.tasks) - 1:
            with untouched(self.trainer.model):
                self.run.finish(self._record())

    def _seconds(self) -> float:
        """Return how long was trained, of all tasks so far."""
        under_way = time.monotonic() - self._began - self._scoring if self._began else 0.0
        return self.run.seconds + max(0.0, under_way)

    def _score(self, moment: Moment) -> Cell:
        """Score the model at a moment, log what was kept and learned, and return the first."""
        began = time.monotonic()
        model = self.trainer.model
        with untouched(model):
            self.run.score(self.method, model, moment)
            kept, learned = self.run.cells(self._record(), moment)
            found = {"kept": kept.value, "kept_low": kept.low, "kept_high": kept.high, "learned": learned.value}
            # In eval mode, or a trainer of TRL's would take its running means for this line's. To the Trainer a line
            # is a line: the step's own is still due.
            due = self.trainer.control.should_log
            self.trainer.log({name: value for name, value in found.items() if value == value})
            self.trainer.control.should_log = due
        self._scoring += time.monotonic() - began
        return kept

    def _record(self) -> Any:
        notes = [
            f"trained by {type(self.trainer).__name__} (transformers {transformers.__version__}), on rows of its own "
            f"choice: what the data says of training is what the task has",
            *([self._stopped] if self._stopped else []),
            *self.run.scorer.notes,
        ]
        tokens = int(self.trainer.state.num_input_tokens_seen)
        outcome = TrainingOutcome(seconds=self._seconds(), tokens=tokens, notes=tuple(dict.fromkeys(notes)))
        return self.run.record(self.method, self.trainer.model, outcome, self.trainer.args.device)


def _precision(trainer: Trainer) -> Any:
    """Return what a spec would call the precision in which the trainer computes."""
    if trainer.args.bf16:
        return "bf16"
    kind = next(iter(trainer.model.parameters())).dtype
    return "fp32" if kind == torch.float32 else "bf16_pure"


def _loaded_from(model: nn.Module | Any) -> str:
    """Return where a model was loaded from.

    Raises:
        SpecError: It does not say.
    """
    name = getattr(getattr(model, "config", None), "_name_or_path", "")
    if not name:
        raise SpecError("model: the trainer's model does not say what it was loaded from; name the base model.")
    return str(name)


def _adapter(model: nn.Module | Any) -> dict[str, Any]:
    """Return what a record tells of a model's adapter, if it is PEFT's: its configuration's plain values."""
    configs = getattr(model, "peft_config", None) or {}
    if not configs:
        return {}
    values = next(iter(configs.values())).to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in values.items()}
    told = {key: value for key, value in plain.items() if isinstance(value, str | int | float | list)}
    return {key: getattr(value, "value", value) for key, value in told.items() if key != "base_model_name_or_path"}


def _length(args: TrainingArguments) -> dict[str, Any]:
    """Return how long is trained, in steps or in epochs, and how the rate falls meanwhile."""
    counted = args.max_steps > 0
    length = {"steps": args.max_steps if counted else None, "epochs": None if counted else float(args.num_train_epochs)}
    return {**length, "schedule": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))}
