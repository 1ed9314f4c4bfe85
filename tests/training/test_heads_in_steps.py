"""Heads in training steps: which of them move, and which stay as they are, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import example, random_llama
from sessions import forget_device

from secura_bench.data.example import Example, Task
from secura_bench.data.streams import RowStream
from secura_bench.methods.build import build_method
from secura_bench.methods.lending import attached
from secura_bench.models.head import lend_heads
from secura_bench.models.task_heads import TaskHeads
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.loop import TrainingLoop
from secura_bench.training.precision import new_accelerator, prepare_training
from secura_bench.training.unsaved import Unsaved

TASKS = ("first", "second")


def rows(task: str, classes: int) -> list[Example]:
    """Return six rows of a task, each with one of ``classes`` labels."""
    made = [example(5 + i, 1, seed=10 * classes + i) for i in range(6)]
    labels = tuple(map(str, range(classes)))
    return [
        replace(e, task=task, head=task, answer_ids=(i % classes,), row=replace(e.row, choices=labels))
        for i, e in enumerate(made)
    ]


class Run:
    """Two tasks in sequence, of two and three labels, on a small model."""

    def __init__(self, method: dict[str, Any] | str, **train: Any) -> None:
        torch.manual_seed(0)
        given = {"name": method} if isinstance(method, str) else method
        self.method = build_method(given.get("name", "stack"), **{k: v for k, v in given.items() if k != "name"})
        self.heads = TaskHeads({"first": 2, "second": 3}, 32, seed=5)
        spec = TrainSpec(**{"lr": 1e-2, "steps": 1, "batch_size": 2, "weight_decay": 0.1} | train)
        forget_device()
        accelerator = new_accelerator(spec.precision, cpu=True)

        def prepare(model: torch.nn.Module) -> None:
            prepare_training(model, spec)
            lend_heads(model, self.heads)

        def wrap(base: torch.nn.Module) -> torch.nn.Module:
            lend_heads(base, self.heads)
            return base

        self.model = attached(self.method, random_llama(), prepare, wrap)
        self.unsaved = Unsaved(self.method, self.model)
        self.loop = TrainingLoop(accelerator, self.model, self.method, spec, pad_id=0, heads=self.heads)

    def train(self, steps: int = 4) -> list[dict[str, torch.Tensor]]:
        """Train both tasks; return what the heads were at the start and after each."""
        seen = [self.state()]
        for index, name in enumerate(TASKS):
            task = Task(name, index, rows(name, index + 2), 2)
            self.method.begin_task(self.model, task)
            if index == 0:
                self.unsaved.began()
            self.loop.run_task(task, RowStream(6, "replacement", name), steps, lambda report: None)
            self.method.end_task(self.model, task)
            self.unsaved.check()
            seen.append(self.state())
        return seen

    def state(self) -> dict[str, torch.Tensor]:
        """Return a copy of the heads' tensors."""
        return {name: tensor.clone() for name, tensor in self.heads.state_dict().items()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> list[str]:
    """Return the tasks whose heads are others now."""
    return sorted({name.split(".")[1] for name in before if not torch.equal(before[name], after[name])})


WAYS: list[dict[str, Any] | str] = [
    "head_only",
    "seq",
    {"name": "lora", "r": 2},
    {"name": "cur_lora", "r": 4, "selection": "sampled"},
    {"name": "secura", "r": 4, "m": 6},
    {"name": "o_lora", "r": 2},
    {"name": "i_lora", "r": 2, "consistency": "logits"},
    {"parts": [{"name": "lora", "r": 2}, {"name": "ewc", "fisher_samples": 2}]},
    {"parts": [{"name": "lora", "r": 2}, {"name": "lwf"}]},
    {"parts": [{"name": "lora", "r": 2}, {"name": "l2_sp"}]},
    {"parts": [{"name": "lora", "r": 2}, {"name": "kl_to_base"}]},
    {"parts": [{"name": "lora", "r": 2}, {"name": "gem", "capacity": 4}, {"name": "ema"}]},
    {"name": "der", "capacity": 4},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way if isinstance(way, str) else list(way.values())))
def test_a_head_is_put_away_untouched(way: dict[str, Any] | str) -> None:
    """Not by weight decay, by moments, by a penalty or by a projected gradient."""
    run = Run(way)
    start, first, second = run.train()
    assert moved(start, first) == ["first"]
    assert moved(first, second) == ["second"]


def test_replayed_rows_are_learned_through_their_own_head() -> None:
    _, first, second = Run({"name": "er", "capacity": 6}).train()
    assert moved(first, second) == ["first", "second"]


def test_head_only_leaves_the_model_as_it_was() -> None:
    run = Run("head_only")
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run.train()
    assert all(torch.equal(p, before[name]) for name, p in run.model.named_parameters())
    assert not any(p.requires_grad for p in run.model.parameters())


def test_a_step_of_heads_alone_keeps_nothing_of_the_model_for_a_backward_pass() -> None:
    """What autograd saves is smaller than a single hidden state of the two rows: the last tokens' and their logits."""
    run = Run("head_only")
    batch = run.loop._collate(rows("first", 2)[:2])
    own = {p.untyped_storage().data_ptr() for p in (*run.model.parameters(), *run.heads.named_parameters().values())}
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = tensor.numel()
        return tensor

    run.loop.resume_training()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run.method.loss(run.model, batch)
    hidden, labels = 32, 2
    assert sum(saved.values()) <= 2 * (hidden + 2 * labels + 2) < batch.input_ids.numel() * hidden


def test_the_gradient_is_that_of_the_mean_cross_entropy_over_rows() -> None:
    """Against autograd on transformers' own hidden state, in micro-batches of one."""
    run = Run("head_only", optimizer="adamw", micro_batch_size=1, weight_decay=0.0)
    task = Task("first", 0, rows("first", 2), 1)
    drawn = [task.train[i] for i in RowStream(6, "replacement", "first").draw(2)]
    layer = run.heads.layers["first"]
    hidden = torch.stack(
        [run.model.model(input_ids=torch.tensor([e.prompt_ids])).last_hidden_state[0, -1] for e in drawn]
    ).detach()
    logits = hidden @ layer.weight.detach().T + layer.bias.detach()
    wrong = logits.softmax(-1) - torch.nn.functional.one_hot(torch.tensor([e.answer_ids[0] for e in drawn]), 2)
    expected = wrong.T @ hidden / 2
    caught: list[torch.Tensor] = []
    run.loop.method.after_backward = lambda model, step: caught.append(layer.weight.grad.clone())
    run.loop.run_task(task, RowStream(6, "replacement", "first"), 1, lambda report: None)
    torch.testing.assert_close(caught[0], expected, rtol=1e-4, atol=1e-6)
