"""Scoring side by side with the naive way and with lm-evaluation-harness: the same rows and model, taking turns.

The naive way is the published code's: one row at a time, logits at every position, no cache between tokens. On
SmolLM2-135M-Instruct and real rows where SECURA_BENCH_SMOLLM2 and SECURA_BENCH_DATA name them, else on the tiny model
that ships with the package, and then without lm-eval (the extra `lm-eval`), as where it is not installed.

    python scripts/bench_scoring.py [--turns N] [--batch-size N]
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

os.environ.setdefault("HF_DATASETS_CACHE", tempfile.mkdtemp())

import torch
from torch.nn import functional as F

from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import load_data
from secura_bench.data.example import Example
from secura_bench.evaluation.predicting.choice import choice
from secura_bench.evaluation.predicting.generate import generate
from secura_bench.evaluation.predicting.teacher_forced import teacher_forced
from secura_bench.models.load import find_model, load_model, load_tokenizer
from secura_bench.spec.sections import DataSpec

REAL = bool(os.environ.get("SECURA_BENCH_SMOLLM2") and os.environ.get("SECURA_BENCH_DATA"))
MODEL = os.environ["SECURA_BENCH_SMOLLM2"] if REAL else "tiny"
# What is scored, and how many rows of it: enough to fill two batches, few enough to end in minutes.
FORCED = {"absnarr": 24} if REAL else {"tiny_choice": 64}
CHOSEN = {"arc_c": 24, "absnarr": 12} if REAL else {"tiny_choice": 64}
GENERATED = {"arc_c": 16} if REAL else {"tiny_arith": 64}
NEW_TOKENS = 16
# Short and long prompts, short and long answers: what batches wait for their longest row with.
MIXED = {"arc_c": 12, "absnarr": 12, "stratqa": 12, "disflqa": 12} if REAL else {"tiny_arith": 64, "tiny_choice": 64}
MIXED_TOKENS = 128  # as many as a task file allows that does not say


def rows_of(task: str, count: int, chat: ChatFormat) -> list[Example]:
    """Return the first test rows of a task."""
    return list(load_data(task, DataSpec(rows=max(200, 12 * count)), chat).test[:count])


def naive_forced(model: Any, examples: Sequence[Example]) -> None:
    """Score teacher-forced, a row at a time."""
    for example in examples:
        ids = torch.tensor([example.prompt_ids + example.answer_ids])
        logits = model(ids).logits[0, len(example.prompt_ids) - 1 : -1]
        logits.argmax(dim=-1).tolist()
        F.cross_entropy(logits, torch.tensor(example.answer_ids)).item()


def naive_generate(model: Any, examples: Sequence[Example], chat: ChatFormat) -> None:
    """Generate a row at a time, and read everything again for every token."""
    for example in examples:
        ids = list(example.prompt_ids)
        for _ in range(NEW_TOKENS):
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
            if ids[-1] in chat.stop_ids:
                break


class LmEval:
    """lm-evaluation-harness on the same model and prompts, by its own requests."""

    def __init__(self, model: Any, chat: ChatFormat, batch_size: int) -> None:
        from lm_eval.models.huggingface import HFLM

        logging.disable(logging.WARNING)
        self.chat = chat
        self.model = HFLM(pretrained=model, tokenizer=chat.tokenizer, batch_size=batch_size, device="cpu")

    def _instances(self, kind: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        from lm_eval.api.instance import Instance

        return [Instance(request_type=kind, doc={}, arguments=a, idx=i) for i, a in enumerate(arguments)]

    def choose(self, examples: Sequence[Example]) -> None:
        """Return nothing; ask for the log-likelihood of every choice."""
        pairs = [(self.chat.prompt_text(e.row), text) for e in examples for text in e.row.choices or ()]
        self.model.loglikelihood(self._instances("loglikelihood", pairs), disable_tqdm=True)

    def generate(self, examples: Sequence[Example], tokens: int) -> None:
        """Return nothing; ask for greedy continuations."""
        until = {"until": [self.chat.tokenizer.eos_token], "max_gen_toks": tokens, "do_sample": False}
        pairs = [(self.chat.prompt_text(e.row), until) for e in examples]
        self.model.generate_until(self._instances("generate_until", pairs), disable_tqdm=True)


class GenerateBatch:
    """The continuous batching of transformers, as many rows at once. On CPUs it has to be told how much memory."""

    def __init__(self, model: Any, chat: ChatFormat, batch_size: int, tokens: int) -> None:
        from transformers import ContinuousBatchingConfig, GenerationConfig

        self.model = model
        self.generation = GenerationConfig(
            max_new_tokens=tokens, do_sample=False, eos_token_id=sorted(chat.stop_ids), pad_token_id=chat.pad_id
        )
        self.batching = ContinuousBatchingConfig(
            num_blocks=8 * batch_size, max_batch_tokens=512, max_requests_per_batch=batch_size
        )

    def generate(self, examples: Sequence[Example]) -> None:
        """Return nothing; ask for greedy continuations."""
        self.model.generate_batch([list(e.prompt_ids) for e in examples], self.generation, self.batching)


def compare(sides: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Return the best seconds of each side; they take turns. The best, since others' work can only add."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - began)
    return {name: min(mine) for name, mine in times.items()}


def report(what: str, seconds: dict[str, float], rows: int, goals: dict[str, str]) -> None:
    """Print a line for every side but ours."""
    for name, theirs in seconds.items():
        if name != "ours":
            print(
                f"{f'{what}, against {name}':<46} {theirs / seconds['ours']:8.2f}   goal {goals[name]:<8} "
                f"{rows / seconds['ours']:.2f} rows/s, theirs {rows / theirs:.2f}",
                flush=True,
            )


def peak_of(rows: int) -> int:
    """Return the peak memory in bytes of a process that scores so many rows by three protocols."""
    command = [sys.executable, __file__, "--memory-of", str(rows)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def print_peak(count: int) -> None:
    """Score ``count`` rows with the tiny model, fifty of them over and over, and print this process's peak memory."""
    folder = find_model("tiny")
    model, chat = load_model(folder), ChatFormat(load_tokenizer(folder))
    examples = (load_data("tiny_choice", DataSpec(rows=600), chat).test[:50] * (count // 50))[:count]
    for batches in (
        teacher_forced(model, examples, chat, 16),
        choice(model, examples, chat, 16),
        generate(model, examples, chat, 16, NEW_TOKENS, continuous=True),
    ):
        for _ in batches:
            pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak if sys.platform == "darwin" else peak * 1024)


@torch.no_grad()
def main() -> None:
    """Print every ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        print_peak(args.memory_of)
        return
    size = args.batch_size
    folder = find_model(MODEL)
    model, chat = load_model(folder), ChatFormat(load_tokenizer(folder))
    other = LmEval(model, chat, size) if REAL and find_spec("lm_eval") else None
    name = "SmolLM2-135M" if REAL else "tiny"
    print(f"scoring, {name}, batches of {size}, {torch.get_num_threads()} threads, best of {args.turns} turns")
    if other is None:
        print("lm-eval is left out: it needs the real model, and the extra lm-eval")

    sides: dict[str, Callable[[], object]]
    for task, count in FORCED.items():
        examples = rows_of(task, count, chat)
        sides = {
            "ours": lambda e=examples: list(teacher_forced(model, e, chat, size)),  # type: ignore[misc]
            "the naive way": lambda e=examples: naive_forced(model, e),  # type: ignore[misc]
        }
        report(
            f"teacher_forced, {count} rows of {task}", compare(sides, args.turns), count, {"the naive way": ">= 1.5"}
        )
    for task, count in CHOSEN.items():
        if other is not None:
            examples = rows_of(task, count, chat)
            sides = {
                "ours": lambda e=examples: list(choice(model, e, chat, size)),  # type: ignore[misc]
                "lm-eval": lambda e=examples: other.choose(e),  # type: ignore[misc]
            }
            report(f"choice, {count} rows of {task}", compare(sides, args.turns), count, {"lm-eval": ">= 3"})
    for task, count in GENERATED.items():
        examples = rows_of(task, count, chat)
        sides = {"ours": lambda e=examples: list(generate(model, e, chat, size, NEW_TOKENS, continuous=True))}  # type: ignore[misc]
        if other is not None:
            sides["lm-eval"] = lambda e=examples: other.generate(e, NEW_TOKENS)  # type: ignore[misc]
        sides["the naive way"] = lambda e=examples: naive_generate(model, e, chat)  # type: ignore[misc]
        goals = {"the naive way": ">= 10", "lm-eval": ">= 1"}
        report(f"generate, {count} rows of {task}", compare(sides, args.turns), count, goals)
    mixed = [example for task, count in MIXED.items() for example in rows_of(task, count, chat)]
    batching = GenerateBatch(model, chat, size, MIXED_TOKENS)
    sides = {
        "ours": lambda: list(generate(model, mixed, chat, size, MIXED_TOKENS, continuous=True)),
        "generate_batch": lambda: batching.generate(mixed),
    }
    if other is not None:
        sides["lm-eval"] = lambda: other.generate(mixed, MIXED_TOKENS)
    goals = {"generate_batch": ">= 1", "lm-eval": ">= 1.8"}
    report(f"generate, {len(mixed)} rows of mixed lengths", compare(sides, args.turns), len(mixed), goals)
    few, many = peak_of(50), peak_of(500)
    print(
        f"{'peak memory, 500 rows / 50 rows (tiny)':<46} {many / few:8.2f}   goal {'<= 1.00':<8} "
        f"{many / 2**20:.0f} MiB / {few / 2**20:.0f} MiB"
    )


if __name__ == "__main__":
    main()
