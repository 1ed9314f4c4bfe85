"""What each process of a run does in a few steps, written to a folder: started by tests, alone or together."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from conftest import example, random_llama
from mixtures import KINDS, mixture

from secura_bench.data.example import Task
from secura_bench.data.streams import RowStream
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.methods.peft_sharded import ON_SHARDS
from secura_bench.models.sharded import whole
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.loop import TrainingLoop
from secura_bench.training.precision import new_accelerator, prepare_training
from secura_bench.training.processes import join
from secura_bench.training.sharding import divides, shard

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
TUNERS = {
    "boft": {"boft_block_size": 2},
    "fourierft": {"n_frequency": 20},
    "ia3": {"feedforward_modules": []},
    "lora": {"use_rslora": True, "r": 2},
}


SHARDED: dict[str, tuple[str, dict[str, Any]]] = {
    "seq": ("seq", {}),
    "mtl": ("mtl", {}),
    "er": ("er", {}),
    "ewc": ("ewc", {"fisher_samples": 3, "lambda": 1e4}),
    "ewc-separate": ("ewc", {"fisher_samples": 3, "lambda": 1e4, "variant": "separate"}),
    "lora": ("lora", {"r": 2, "dropout": 0.0}),
    "lora-pissa": ("lora", {"r": 2, "dropout": 0.0, "init_lora_weights": "pissa"}),
    "dora": ("dora", {"r": 2, "dropout": 0.0}),
    "stack": ("stack", {"parts": [{"name": "lora", "r": 2, "dropout": 0.0}, {"name": "ewc", "fisher_samples": 3}]}),
    **{f"peft-{tuner}": ("peft", {"peft_type": tuner, "config": TUNERS.get(tuner, {})}) for tuner in ON_SHARDS},
}
"""Methods that train divided weights, by a name of their own."""

MIXTURES = {f"{kind}-{key}": (kind, *SHARDED[key]) for kind in KINDS for key in ("seq", "lora")}
"""The same of mixtures of experts, by a name of their own."""

CUT = ("er", "a_gem")
"""Of which the rows are cut by length too, those of a memory among them."""


def steps(
    name: str,
    options: dict[str, Any],
    micro_batch: int | Literal["auto"] | None,
    sharded: Literal["full"] | None = None,
    make: Callable[[], torch.nn.Module] = random_llama,
) -> dict[str, Any]:
    """Train two tasks of two steps each; return the rows that this process fed, each step's gradients and losses."""
    torch.manual_seed(0)
    method: Method = build_method(name, **options)
    # With Adam's own eps a gradient of rounding errors would move a weight as far as any other.
    rates = {"lr": 1e-2, "eps": 1e-2, "steps": 2, "batch_size": 6, "clip_norm": 1.0 if sharded else None}
    train = TrainSpec(precision="fp32", micro_batch_size=micro_batch, shard=sharded, **rates)
    if name == "ewc" and not sharded:  # which trains the head, and needs no logits
        train = train.model_copy(update={"kernels": ("chunked",)})
    accelerator = new_accelerator(train.precision)
    model = method.attach(make())
    prepare_training(model, train)
    if divides(train):
        shard(model, accelerator.device, train)
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
        made = [p.grad for p in model.parameters() if p.grad is not None]
        gradients.append(torch.cat([whole(gradient).flatten() for gradient in made]).cpu())
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
    weights = torch.cat([whole(p.detach()).flatten().cpu() for p in model.parameters()])
    return {"fed": fed[:-1], "gradients": gradients, "losses": losses, "weights": weights}


def do_divided_steps(folder: Path) -> None:
    """Do it for all methods, with whole shares and in micro-batches of one; for some with such as are cut by length."""
    join()
    rank = os.environ.get("RANK", "0")
    said = {}

    def tell(key: str, done: dict[str, Any]) -> None:
        torch.save([*done["gradients"], done["weights"]], folder / f"{key}-{rank}.pt")
        said[key] = {"fed": done["fed"], "losses": done["losses"]}

    for name, options in METHODS.items():
        sizes: list[int | Literal["auto"] | None] = [None, 1, *["auto"] * (name in CUT)]
        for size in sizes:
            tell(f"{name}-{size}", steps(name, options, size))
    for key, (name, options) in SHARDED.items():
        tell(f"sharded-{key}", steps(name, options, 2, "full"))
    for key, (kind, name, options) in MIXTURES.items():
        tell(f"sharded-{key}", steps(name, options, 2, "full", partial(mixture, kind)))
    (folder / f"{rank}.json").write_text(json.dumps(said))
