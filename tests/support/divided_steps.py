"""What each process of a run does in a few steps, written to a folder: started by tests, alone or together."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import torch
from conftest import example, random_llama

from secura_bench.data.example import Task
from secura_bench.data.streams import RowStream
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.loop import TrainingLoop
from secura_bench.training.precision import new_accelerator, prepare_training
from secura_bench.training.processes import join

METHODS: dict[str, dict[str, Any]] = {
    "seq": {},
    "lora": {"r": 2, "dropout": 0.0},
    "secura": {"r": 4, "m": 6},
    "ewc": {"fisher_samples": 3},
    "i_lora": {"r": 2},
    "er": {},
    "a_gem": {},
    "der": {"capacity": 6},
}


CUT = ("er", "a_gem")
"""Of which the rows are cut by length too, those of a memory among them."""


def steps(name: str, options: dict[str, Any], micro_batch: int | Literal["auto"] | None) -> dict[str, Any]:
    """Train two tasks of two steps each; return the rows that this process fed, each step's gradients and losses."""
    torch.manual_seed(0)
    method: Method = build_method(name, **options)
    # With Adam's own eps a gradient of rounding errors would move a weight as far as any other.
    train = TrainSpec(precision="fp32", lr=1e-2, eps=1e-2, steps=2, batch_size=6, micro_batch_size=micro_batch)
    accelerator = new_accelerator(train.precision)
    model = method.attach(random_llama())
    prepare_training(model, train)
    loop = TrainingLoop(accelerator, model, method, train, pad_id=0)
    loop.micro_batches.pass_tokens = 1  # rows of this few tokens would never be cut
    fed: list[list[str]] = []
    gradients: list[torch.Tensor] = []
    losses: list[float] = []
    collate, after_backward = loop._collate, method.after_backward

    def collated(examples: Any) -> Any:
        fed[-1].extend(item.row.id for item in examples if item.weight)
        return collate(examples)

    def seen(model: Any, step: Any) -> None:
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).cpu())
        fed.append([])
        after_backward(model, step)
        fed[-1].clear()  # rows of a memory, which every process feeds

    loop._collate, method.after_backward = collated, seen  # type: ignore[method-assign]
    fed.append([])
    rows = tuple(example(6 + 3 * (i % 5), 1 + i % 4, seed=i) for i in range(12))
    for index in range(2):
        task = Task(f"task-{index}", index, rows, 2)
        method.begin_task(model, task)
        stream = RowStream(len(rows), "epochs", index)
        loop.run_task(task, stream, train.steps, lambda report: losses.append(report.loss))
        method.end_task(model, task)
    weights = torch.cat([p.detach().flatten().cpu() for p in model.parameters()])
    return {"fed": fed[:-1], "gradients": gradients, "losses": losses, "weights": weights}


def do_divided_steps(folder: Path) -> None:
    """Do it for all methods, with whole shares and in micro-batches of one; for some with such as are cut by length."""
    join()
    rank = os.environ.get("RANK", "0")
    said = {}
    for name, options in METHODS.items():
        sizes: list[int | Literal["auto"] | None] = [None, 1, *["auto"] * (name in CUT)]
        for size in sizes:
            done = steps(name, options, size)
            key = f"{name}-{size}"
            torch.save([*done["gradients"], done["weights"]], folder / f"{key}-{rank}.pt")
            said[key] = {"fed": done["fed"], "losses": done["losses"]}
    (folder / f"{rank}.json").write_text(json.dumps(said))
