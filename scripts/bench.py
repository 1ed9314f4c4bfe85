"""Side-by-side timings: every ratio is measured in one run, both sides taking turns.

On SmolLM2-135M-Instruct and real rows where SECURA_BENCH_SMOLLM2 and SECURA_BENCH_DATA name them, else on the tiny
model that ships with the package.

    python scripts/bench.py [--repeats N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from secura_bench import build_method
from secura_bench.adapters.cur import core_weight, initial_a, lowest_norm
from secura_bench.data.chat import ChatFormat
from secura_bench.data.collate import collate
from secura_bench.data.dataset import load_data
from secura_bench.data.example import Example, Task
from secura_bench.data.streams import RowStream
from secura_bench.models.load import find_model, load_model, load_tokenizer
from secura_bench.spec.sections import DataSpec, TrainSpec
from secura_bench.training.loop import TrainingLoop
from secura_bench.training.precision import new_accelerator

REAL = bool(os.environ.get("SECURA_BENCH_SMOLLM2") and os.environ.get("SECURA_BENCH_DATA"))
MODEL = os.environ["SECURA_BENCH_SMOLLM2"] if REAL else "tiny"
TASK = "absnarr" if REAL else "tiny_choice"
ROWS = 4 if REAL else 16
SIZES: dict[str, Any] = {} if REAL else {"r": 16, "m": 32}


def rows() -> tuple[list[Example], ChatFormat]:
    """Return the rows of one step and the chat format."""
    chat = ChatFormat(load_tokenizer(find_model(MODEL)))
    return list(load_data(TASK, DataSpec(rows=200), chat).train[:ROWS]), chat


def stepper(name: str, compiled: bool = False, **options: Any) -> Callable[[], None]:
    """Return a function that takes one training step, the same rows each time."""
    examples, chat = rows()
    method = build_method(name, **options)
    model = method.attach(load_model(find_model(MODEL))).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    batch = collate(examples, chat.pad_id)
    if compiled:
        model.compile()

    def step() -> None:
        loss = method.loss(model, batch)
        (loss.sum / loss.tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(model, optimizer)

    return step


def compare(sides: Sequence[Callable[[], None]], repeats: int) -> list[float]:
    """Return the median seconds of each side; they take turns, after one round to warm up."""
    times: list[list[float]] = [[] for _ in sides]
    for turn in range(repeats + 1):
        for mine, side in zip(times, sides, strict=True):
            began = time.perf_counter()
            side()
            if turn:
                mine.append(time.perf_counter() - began)
    return [statistics.median(mine) for mine in times]


def report(what: str, ratio: float, goal: str, detail: str) -> None:
    """Print one line."""
    print(f"{what:<58} {ratio:8.2f}   goal {goal:<8} {detail}", flush=True)


def peak_memory(name: str) -> int:
    """Return the peak memory in bytes of a process that takes three steps with a method."""
    command = [sys.executable, __file__, "--memory-of", name]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def print_peak(name: str) -> None:
    """Take three steps and print this process's peak memory in bytes."""
    import resource

    step = stepper(name, **(SIZES if name == "secura" else {}))
    for _ in range(3):
        step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak if sys.platform == "darwin" else peak * 1024)


def trainer_side(steps: int) -> Callable[[], None]:
    """Return a function that trains LoRA with transformers' Trainer and PEFT, full logits, on the same rows."""
    from transformers import Trainer, TrainingArguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    examples, chat = rows()
    items = []
    for example in examples:
        ids = [*example.prompt_ids, *example.answer_ids]
        items.append({"input_ids": ids, "labels": [-100] * len(example.prompt_ids) + list(example.answer_ids)})

    def pad(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(item["input_ids"]) for item in batch)
        missing = [longest - len(item["input_ids"]) for item in batch]
        pairs = list(zip(batch, missing, strict=True))
        return {
            "input_ids": torch.tensor([item["input_ids"] + [chat.pad_id] * n for item, n in pairs]),
            "labels": torch.tensor([item["labels"] + [-100] * n for item, n in pairs]),
            "attention_mask": torch.tensor([[1] * len(item["input_ids"]) + [0] * n for item, n in pairs]),
        }

    model = build_method("lora").attach(load_model(find_model(MODEL)))
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=ROWS, max_steps=steps, learning_rate=1e-4,
        use_cpu=True, save_strategy="no", report_to=[], disable_tqdm=True, logging_strategy="no", max_grad_norm=0.0,
        lr_scheduler_type="constant", remove_unused_columns=False,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=items, data_collator=pad)
    return lambda: trainer.train() and None


def loop_side(steps: int) -> Callable[[], None]:
    """Return a function that trains LoRA in our loop, on the same rows."""
    examples, chat = rows()
    method = build_method("lora")
    model = method.attach(load_model(find_model(MODEL)))
    train = TrainSpec(lr=1e-4, batch_size=ROWS, steps=steps)
    loop = TrainingLoop(new_accelerator("fp32", cpu=True), model, method, train, chat.pad_id)

    def run() -> None:
        loop.run_task(Task("bench", 0, examples), RowStream(ROWS, "epochs", 0), steps, lambda step: None)

    return run


def setup_sides(size: int = 2048) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return adapter set-up by slice, and by the SVD that equation 3 writes, for one size×size weight."""
    weight = torch.randn(size, size) * 0.02
    r, m = round(0.0366 * size), round(0.0488 * size)

    def by_slice() -> None:
        columns, found = lowest_norm(weight, r)
        weight[:, columns].clone(), weight[found].clone(), initial_a(weight, r, m)

    def by_svd() -> None:
        columns, found = lowest_norm(weight, r)
        U, S, V = torch.linalg.svd(weight, full_matrices=False)
        weight[:, columns].clone(), weight[found].clone(), (U[:r] * S) @ V[:, :m]

    return by_slice, by_svd


def merge_sides(size: int = 2048) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a merge in the r×r core, and into the h×d weight."""
    weight = torch.randn(size, size) * 0.02
    r, m = round(0.0366 * size), round(0.0488 * size)
    columns, found = lowest_norm(weight, r)
    C, R, A, B, K = weight[:, columns], weight[found], initial_a(weight, r, m), torch.randn(m, r), torch.zeros(r, r)
    target = weight.clone()

    def in_core() -> None:
        K.add_(A @ B)

    def whole() -> None:
        target.add_(core_weight(C, A @ B, R))

    return in_core, whole


def main() -> None:
    """Print every ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--compile", action="store_true", help="also time the full path under torch.compile")
    args = parser.parse_args()
    if args.memory_of:
        print_peak(args.memory_of)
        return
    print(f"{'SmolLM2-135M' if REAL else 'tiny'}, {ROWS} rows of {TASK} a step, {torch.get_num_threads()} threads")

    lora, secura = compare([stepper("lora"), stepper("secura", **SIZES)], args.repeats)
    report("SECURA M1 step / PEFT LoRA step", secura / lora, "<= 1.00", f"{secura:.3f} s / {lora:.3f} s")
    sides = [stepper("lora"), stepper("secura", fusion_step=200, **SIZES)]
    if args.compile:
        sides.append(stepper("secura", compiled=True, fusion_step=200, **SIZES))
    lora, full, *compiled = compare(sides, args.repeats)
    report("SECURA full path (fusion step 200) / LoRA", full / lora, "<= 1.25", f"{full:.3f} s / {lora:.3f} s")
    for seconds in compiled:
        report("the same under torch.compile", seconds / lora, "<= 1.25", f"{seconds:.3f} s / {lora:.3f} s")
    memory = {name: peak_memory(name) for name in ("secura", "lora")}
    ratio = memory["secura"] / memory["lora"]
    detail = f"{memory['secura'] / 2**20:.0f} MiB / {memory['lora'] / 2**20:.0f} MiB"
    report("SECURA peak memory / LoRA", ratio, "<= 1.01", detail)
    ours, trainers = compare([loop_side(3), trainer_side(3)], max(2, args.repeats // 3))
    report(
        "transformers.Trainer with PEFT / our LoRA training",
        trainers / ours,
        ">= 1.3",
        f"{trainers:.2f} s / {ours:.2f} s",
    )
    fast, slow = compare(setup_sides(), 3)
    report("set-up by SVD / by slice, 2048×2048", slow / fast, ">= 100", f"{slow:.3f} s / {fast:.5f} s")
    core, whole = compare(merge_sides(), 20)
    report("merge into h×d / in the core, 2048×2048", whole / core, "", f"{whole:.5f} s / {core:.5f} s")


if __name__ == "__main__":
    main()
