"""Hold what a plan says of memory against what processes take: models of random weights on a CPU, no file needed.

    python scripts/measure_plan.py              every point, each in a process of its own; a Markdown table
    python scripts/measure_plan.py ewc          the points whose name has "ewc" in it
    python scripts/measure_plan.py --as-is      with the allocator's own settings

A point trains two steps on each of its tasks by the bench's own loop, boundaries and all, or scores one batch. Measured
is the peak of the process's resident memory above what it had after a warm-up on a model of a few thousand scalars;
estimated is the plan's sum without what a process takes with nothing loaded. glibc's allocator keeps freed memory of
tensors below 32 MB for later, and a process grows by that; here it is told to give all of it back, unless ``--as-is``.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

LIMIT = 0.15
"""How far an estimate may be off."""

SHAPES: dict[str, dict[str, Any]] = {
    "0.03M": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "vocab_size": 128},
    "34M": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 6,
            "num_key_value_heads": 6, "vocab_size": 32000},
    "135M": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
             "num_key_value_heads": 3, "vocab_size": 49152},
    "360M": {"hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 15,
             "num_key_value_heads": 5, "vocab_size": 49152},
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A method on a model: ``batch`` rows of ``context`` tokens, ``answers`` of them supervised."""

    method: str
    size: str
    batch: int
    context: int
    options: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    tasks: int = 1
    answers: int = 16
    bits: Literal[4, 8] | None = None
    """Of the base's linear weights, which ``gpu_memory`` holds so: on a CPU nothing does."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        extras = [f"{key} {value}" for key, value in (*self.options.items(), *self.train.items())]
        tasks = [f"{self.tasks} tasks"] if self.tasks > 1 else []
        bits = [f"{self.bits} bits"] if self.bits else []
        return ", ".join([f"{self.method} {self.size}", f"{self.batch} × {self.context}", *extras, *tasks, *bits])


POINTS = (
    Point("base", "360M", 8, 256),
    Point("seq", "34M", 8, 128),
    Point("seq", "135M", 2, 128),
    Point("seq", "135M", 8, 128, train={"gradient_checkpointing": True}),
    Point("seq", "135M", 8, 128, train={"micro_batch_size": 4}),
    Point("lora", "135M", 8, 128),
    Point("lora", "360M", 4, 128),
    Point("lora", "360M", 8, 128, train={"gradient_checkpointing": True}),
    Point("lora", "135M", 8, 128, train={"precision": "bf16"}),
    Point("dora", "135M", 8, 128),
    Point("cabr_lora", "360M", 4, 128),
    Point("secura", "135M", 8, 128),
    Point("secura", "360M", 2, 128, options={"fusion_step": 20}),
    Point("i_lora", "135M", 8, 128),
    Point("er", "34M", 8, 128, tasks=2),
    Point("ewc", "34M", 4, 128, options={"fisher_samples": 2}, tasks=2),
    Point("ewc", "135M", 1, 128, options={"fisher_samples": 2}, tasks=3),
    Point("ewc", "135M", 1, 128, options={"fisher_samples": 2, "dtype": "bf16"}, tasks=3),
)


def shape_of(size: str) -> Any:
    """Return the plan's shape of a size."""
    from secura_bench.models.shape import Shape

    shape = Shape.from_config("llama", {**SHAPES[size], "tie_word_embeddings": True, "max_position_embeddings": 2048})
    if shape is None:
        raise TypeError("Llama's layout is known")
    return shape


def estimated(point: Point) -> float:
    """Return the bytes that a plan says, without the process."""
    from secura_bench.estimates.formulas import count_on_shape, restricted
    from secura_bench.estimates.memory import PROCESS, Scoring, memory_of
    from secura_bench.methods.build import build_method

    footprint, train = build_method(point.method, **point.options).footprint(), train_of(point)
    shape = shape_of(point.size)
    scoring = Scoring(point.batch, point.context, point.answers, 0, ("teacher_forced",))
    count = restricted(count_on_shape(footprint, shape), shape, train)
    return memory_of(footprint, count, shape, train, scoring, point.answers, point.tasks).on_cpu() - PROCESS


def measured(point: Point) -> int:
    """Return the bytes that this process takes for ``point`` at its peak."""
    do(Point(point.method, "0.03M", 2, 32, point.options, point.train, point.tasks, 4))
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    do(point)
    return resident("VmHWM") - before


def resident(key: str) -> int:
    """Return a figure of this process's memory in bytes: VmRSS is what it has, VmHWM the most that it had."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) * 1024 if found else 0


def do(point: Point) -> None:
    """Train two steps a task, or score a batch, on a CPU."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from secura_bench.training.precision import new_accelerator, weights_dtype

    torch.manual_seed(0)
    train = train_of(point)
    config = LlamaConfig(**SHAPES[point.size], tie_word_embeddings=True, max_position_embeddings=2048)
    torch.set_default_dtype(weights_dtype(train.precision))
    model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    for _ in stages(point, model, new_accelerator(train.precision, cpu=True)):
        pass


def train_of(point: Point) -> Any:
    """Return how a point trains: in fp32, two steps a task, where it does not say otherwise."""
    from secura_bench.spec.sections import TrainSpec

    return TrainSpec(**{"batch_size": point.batch, "precision": "fp32", "steps": 2, **point.train})


def stages(
    point: Point, model: Any, accelerator: Any, on_step: Callable[[Any], None] = lambda report: None
) -> Iterator[str]:
    """Do what a run does with ``model``, which is on the accelerator's device; yield each stage's name at its end."""
    import torch

    from secura_bench.data.collate import collate
    from secura_bench.data.example import Example, Task
    from secura_bench.data.streams import RowStream
    from secura_bench.methods.build import build_method
    from secura_bench.models.head import answer_logits
    from secura_bench.tasks.row import Row
    from secura_bench.training.loop import TrainingLoop
    from secura_bench.training.precision import prepare_training

    train, method = train_of(point), build_method(point.method, **point.options)
    rows = []
    for number in range(2 * point.batch):  # half of them a token shorter, so that there is padding
        ids = torch.randint(3, 100, (point.context - number % 2,)).tolist()
        row = Row(id=str(number), prompt="?", target="!")
        rows.append(Example("task", row, tuple(ids[: -point.answers]), tuple(ids[-point.answers :]), 1.0))
    for source in method.sources:
        method.take(source, rows)
    model = method.attach(model)
    if not method.trains:
        with torch.inference_mode():
            logits = answer_logits(model.eval(), collate(rows[: point.batch], 0).to(accelerator.device))
            torch.log_softmax(logits.float(), dim=-1)
        yield "scoring"
        return
    prepare_training(model, train)
    yield "attaching"
    loop = TrainingLoop(accelerator, model, method, train, pad_id=0)
    for index in range(point.tasks):
        task = Task(f"task-{index}", index, tuple(rows), point.tasks)
        method.begin_task(model, task)
        loop.run_task(task, RowStream(len(rows), "epochs", index), train.steps, on_step)
        yield "training"
        method.end_task(model, task)
        yield "boundary"


def main() -> None:
    """Measure the points that are asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("points", nargs="?", default="", help="a part of the names of the points to measure")
    parser.add_argument("--as-is", action="store_true", help="leave the allocator's settings alone")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(measured(POINTS[args.one])))
        return
    import torch
    import transformers

    print(f"{platform.system()} {platform.machine()}, CPU, torch {torch.__version__}, "
          f"transformers {transformers.__version__}; MiB beside the process itself\n")  # fmt: skip
    print("| point | estimated | measured | estimated / measured |")
    print("|---|---:|---:|---:|")
    off = 0
    for number, point in enumerate(POINTS):
        if args.points not in point.name:
            continue
        command = [sys.executable, __file__, "--one", str(number)]
        returned = {} if args.as_is else {"MALLOC_MMAP_THRESHOLD_": "65536"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **returned})
        ours, theirs = estimated(point), json.loads(done.stdout.splitlines()[-1])
        off += abs(ours / theirs - 1) > LIMIT
        print(f"| {point.name} | {ours / 2**20:,.0f} | {theirs / 2**20:,.0f} | {ours / theirs:.2f} |", flush=True)
    if off:
        sys.exit(f"{off} points are more than {LIMIT:.0%} off.")


if __name__ == "__main__":
    main()
