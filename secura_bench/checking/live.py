"""What is checked on a method and a model at hand: that they train, and what their pieces say of each other."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.data.collate import collate
from secura_bench.data.example import Example, Task
from secura_bench.data.streams import RowStream
from secura_bench.estimates.formulas import count_on_shape
from secura_bench.methods.lending import attached
from secura_bench.models.head import answer_logits
from secura_bench.models.load import load_model, shape_of
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.checkpoints import read_checkpoint, save_checkpoint
from secura_bench.training.loop import StepReport, TrainingLoop
from secura_bench.training.precision import new_accelerator, prepare_training
from secura_bench.training.seeds import seed_everything


class Live:
    """A method on the tiny model that can be trained step by step, as a run does it and without its disk."""

    def __init__(self, run: Run, inputs: Inputs, **train: Any) -> None:
        seed_everything(run.seed, run.threads)
        self.run, self.inputs = run, inputs
        self.train = TrainSpec.model_validate(run.train.over(train))
        self.method = inputs.hand_to(run.build())
        self.model = attached(self.method, load_model(inputs.model), lambda model: prepare_training(model, self.train))
        self.tasks = [Task(name, i, inputs.tasks[name].train, len(run.tasks)) for i, name in enumerate(run.tasks)]
        accelerator = new_accelerator("fp32", cpu=True)
        self.loop = TrainingLoop(accelerator, self.model, self.method, self.train, inputs.chat.pad_id)
        self.reports: list[StepReport] = []

    def do(self, index: int, steps: int) -> None:
        """Train ``steps`` steps on a task, and end it."""
        task = self.tasks[index]
        self.method.begin_task(self.model, task)
        stream = RowStream(len(task.train), "replacement", f"check/{index}")
        self.loop.run_task(task, stream, steps, self.reports.append)
        self.method.end_task(self.model, task)

    def logits(self) -> Tensor:
        """Return what is scored, on a few rows."""
        batch = collate(rows_of(self.inputs, self.run.tasks[0]), self.inputs.chat.pad_id)
        self.model.eval()
        with torch.no_grad(), self.method.evaluating(self.model) as view:
            return answer_logits(view, batch)


def rows_of(inputs: Inputs, task: str) -> list[Example]:
    """Return a few rows of a task."""
    return list(inputs.tasks[task].train[:4])


def moved(before: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """Return the names of the tensors that are others than before."""
    return [name for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])]


def copies(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of every parameter by name."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(a: Any, b: Any) -> bool:
    """Return whether two states are equal, bit by bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b or (a != a and b != b))


def state_comes_back(live: Live) -> str | None:
    """Return what of a trained method's state a checkpoint does not bring back, None where all comes back."""
    state = live.method.state_dict()
    with tempfile.TemporaryDirectory() as folder:
        read = read_checkpoint(save_checkpoint(Path(folder), {"method": state}))["method"]
    fresh = Live(live.run, live.inputs)
    fresh.method.begin_task(fresh.model, fresh.tasks[0])
    fresh.method.load_state_dict(read)
    back = fresh.method.state_dict()
    wrong = [key for key in {**state, **back} if key not in back or key not in state or not same(state[key], back[key])]
    return f"{', '.join(map(repr, wrong))} of state_dict: load_state_dict brings another value back" if wrong else None


def evaluation_changes(live: Live) -> str | None:
    """Return what scoring the model changes, None where it changes nothing."""
    before = copies(live.model)
    first, second = live.logits(), live.logits()
    if changed := moved(before, live.model):
        return f"scoring moved {changed[0]}"
    return None if torch.equal(first, second) else "scored twice, the same model answers differently"


def plan_errs(run: Run, inputs: Inputs) -> str | None:
    """Return how a plan's count of parameters differs from the attached model's, None where it does not."""
    shape = shape_of("tiny")
    assert shape is not None  # noqa: S101 - the tiny model's layout is Llama's
    planned = count_on_shape(run.build().footprint(), shape)
    live = Live(run, inputs)
    counted = live.method.count_parameters(live.model)
    wrong = [
        f"{name} {getattr(planned, name)} planned, {getattr(counted, name)} attached"
        for name in ("trainable", "total", "held", "effective")
        if getattr(planned, name) != getattr(counted, name)
    ]
    return "; ".join(wrong) or None


def micro_batches_change(run: Run, inputs: Inputs) -> str | None:
    """Return what is another number where a step's rows go through the model one by one, None where nothing is."""
    reports = []
    for size in (None, 1):
        live = Live(run, inputs, micro_batch_size=size)
        live.do(0, 3)
        live.do(1, 2)
        reports.append(live.reports)
    for all_at_once, one_by_one in zip(*reports, strict=True):
        pairs = {"the loss": (all_at_once.loss, one_by_one.loss)}
        pairs |= {"the gradient's norm": (all_at_once.grad_norm, one_by_one.grad_norm)}
        pairs |= {f"term {name}": (value, one_by_one.terms.get(name, 0)) for name, value in all_at_once.terms.items()}
        for name, (a, b) in pairs.items():
            if abs(a - b) > 1e-3 * max(abs(a), abs(b), 1e-6):
                return f"{name} is {a:.6g} for four rows at once, and {b:.6g} for them one by one"
    return None
