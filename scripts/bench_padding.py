"""What padding costs: rows cut by length against whole batches, and how much of the machine useful tokens reach.

Both sides of a ratio take the same batches of 8 in turns. Times are the processor's, on one thread, so that neighbours
disturb little. On SmolLM2-135M-Instruct and real rows where SECURA_BENCH_SMOLLM2 and SECURA_BENCH_DATA name them, else
on the tiny model that ships with the package; TRL's side where the extra ``trl`` is installed.

    python scripts/bench_padding.py [--batches N]
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from secura_bench import build_method
from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import load_data
from secura_bench.data.example import Example, Task
from secura_bench.data.streams import RowStream
from secura_bench.evaluation.predicting.teacher_forced import teacher_forced
from secura_bench.models import unpadded
from secura_bench.models.load import find_model, load_model, load_tokenizer
from secura_bench.spec.sections import DataSpec, TrainSpec
from secura_bench.training.loop import TrainingLoop
from secura_bench.training.precision import new_accelerator

REAL = bool(os.environ.get("SECURA_BENCH_SMOLLM2") and os.environ.get("SECURA_BENCH_DATA"))
MODEL = os.environ["SECURA_BENCH_SMOLLM2"] if REAL else "tiny"
ONE = "absnarr" if REAL else "tiny_choice"
MIXED = ("absnarr", "objcount", "arc_c", "gsm8k") if REAL else ("tiny_choice", "tiny_count", "tiny_arith")
BATCH = 8

Side = Callable[[Sequence[Example]], None]


def batches_of(tasks: Sequence[str], chat: ChatFormat, count: int, size: int) -> list[list[Example]]:
    """Return ``count`` batches of the tasks' training rows, drawn at random."""
    rows = [row for task in tasks for row in load_data(task, DataSpec(rows=200), chat).train]
    draw = random.Random(0)
    return [draw.sample(rows, size) for _ in range(count)]


def training(model: nn.Module, method: Any, chat: ChatFormat, size: Any) -> Side:
    """Return a step of LoRA in our loop, its rows at once or cut as ``micro_batch_size`` says."""
    train = TrainSpec(lr=1e-4, batch_size=BATCH, steps=1, micro_batch_size=size)
    loop = TrainingLoop(new_accelerator("fp32", cpu=True), model, method, train, chat.pad_id)

    def step(rows: Sequence[Example]) -> None:
        loop.train = train.model_copy(update={"batch_size": len(rows)})
        loop.run_task(Task("bench", 0, rows), RowStream(len(rows), "sequential", 0), 1, lambda report: None)

    return step


def scoring(model: nn.Module, chat: ChatFormat, worth_it: float = unpadded._WORTH_IT) -> Side:
    """Return teacher-forced scoring of a batch; where it is never ``worth_it``, padding goes through the MLPs too."""

    def score(rows: Sequence[Example]) -> None:
        unpadded._WORTH_IT = worth_it
        for _ in teacher_forced(model, rows, chat, BATCH):
            pass

    return score


def by_trl(batches: Sequence[Sequence[Example]], chat: ChatFormat) -> Callable[[], None]:
    """Return TRL's SFTTrainer with PEFT's LoRA and completion-only loss, on the same batches in the same order."""
    from datasets import Dataset
    from transformers.utils import logging
    from trl import SFTConfig, SFTTrainer

    logging.set_verbosity_error()
    rows = [row for batch in batches for row in batch]
    data = Dataset.from_list(
        [
            {"input_ids": list(row.read_ids), "completion_mask": [0] * len(row.prompt_ids) + [1] * len(row.answer_ids)}
            for row in rows
        ]
    )
    arguments = SFTConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=BATCH, max_steps=len(batches), learning_rate=1e-4,
        use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no", report_to="none",
        disable_tqdm=True, logging_strategy="no", max_grad_norm=0.0, lr_scheduler_type="constant", optim="adamw_torch",
        completion_only_loss=True, max_length=None, train_sampling_strategy="sequential",
    )  # fmt: skip
    model = build_method("lora").attach(load_model(find_model(MODEL)))
    trainer = SFTTrainer(model, arguments, train_dataset=data, processing_class=chat.tokenizer)
    return lambda: trainer.train() and None


def processor_seconds(work: Callable[[], object]) -> float:
    """Return the processor's time that ``work`` takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(sides: Sequence[Side], batches: Sequence[Sequence[Example]]) -> list[float]:
    """Return each side's processor seconds over all batches but the first, which warms up; they take turns."""
    spent = [0.0] * len(sides)
    for turn, rows in enumerate(batches):
        for i, side in enumerate(sides):
            seconds = processor_seconds(lambda side=side, rows=rows: side(rows))  # type: ignore[misc]
            spent[i] += seconds * (turn > 0)
    return spent


def peak_flops(size: int = 2048, repeats: int = 5) -> float:
    """Return the FLOP/s that the product of two size×size matrices reaches, the best of a few."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / min(processor_seconds(lambda: a @ b) for _ in range(repeats + 1))


def report(what: str, figure: float, goal: str, detail: str) -> None:
    """Print one line."""
    print(f"{what:<66} {figure:8.2f}   goal {goal:<8} {detail}", flush=True)


def main() -> None:
    """Print every ratio and share.

    A share is 4·P·T / seconds, 2·P·T where nothing is trained, over the peak: P all parameters, T tokens without
    padding. The head's work at prompts is counted, and is not done.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batches", type=int, default=6)
    count = parser.parse_args().batches + 1
    torch.set_num_threads(1)
    chat = ChatFormat(load_tokenizer(find_model(MODEL)))
    method = build_method("lora")
    bare = load_model(find_model(MODEL))
    parameters = sum(parameter.numel() for parameter in bare.parameters())
    model = method.attach(bare)
    whole, cut = training(model, method, chat, None), training(model, method, chat, "auto")
    mixed = batches_of(MIXED, chat, count, BATCH)
    print(f"{'SmolLM2-135M' if REAL else 'tiny'}, one thread, processor seconds over {count - 1} batches")
    peak = peak_flops()

    def share(what: str, flops: int, batches: Sequence[Sequence[Example]], seconds: float) -> None:
        tokens = sum(len(row) for rows in batches[1:] for row in rows)
        reached = flops * parameters * tokens / seconds
        detail = f"{reached / 1e9:.1f} / {peak / 1e9:.1f} GFLOP/s, {tokens} tokens in {seconds:.2f} s"
        report(f"share of peak: {what}", reached / peak, ">= 0.70", detail)

    few = batches_of([ONE], chat, count, 4)
    share(f"LoRA, 4 rows of {ONE}, auto", 4, few, compare([cut], few)[0])
    for name, batches, goal in ((ONE, batches_of([ONE], chat, count, BATCH), ">= 1.25"), ("mixed", mixed, ">= 1.5")):
        before, after = compare([whole, cut], batches)
        padded = sum(len(rows) * max(map(len, rows)) for rows in batches[1:])
        tokens = sum(len(row) for rows in batches[1:] for row in rows)
        detail = f"{before:.2f} s / {after:.2f} s, {padded / tokens:.2f} padded tokens a real one"
        report(f"all rows at once / micro_batch_size: auto, 8 rows, {name}", before / after, goal, detail)
        share(f"LoRA, 8 rows, {name}, all at once", 4, batches, before)
        share(f"LoRA, 8 rows, {name}, auto", 4, batches, after)
    before, after = compare([scoring(model, chat, 0.0), scoring(model, chat)], mixed)
    report(
        "padding through MLPs / scored without, 8 rows, mixed", before / after, "", f"{before:.2f} s / {after:.2f} s"
    )
    share("teacher-forced scoring, 8 rows, mixed, padding through MLPs", 2, mixed, before)
    share("teacher-forced scoring, 8 rows, mixed", 2, mixed, after)
    if find_spec("trl") is None:
        print("TRL's SFTTrainer: not compared; trl is not installed: pip install 'secura-bench[trl]'")
        return
    theirs = processor_seconds(by_trl(mixed, chat))
    ours = processor_seconds(lambda: [cut(rows) for rows in mixed])
    detail = f"{theirs:.2f} s / {ours:.2f} s"
    report("TRL's SFTTrainer with PEFT / our loop, auto, 8 rows, mixed", theirs / ours, ">= 2", detail)


if __name__ == "__main__":
    main()
