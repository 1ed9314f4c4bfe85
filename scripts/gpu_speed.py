"""How fast a model of a real shape is scored: tokens read by teacher forcing, and tokens written by generation."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from gpu_memory import random_model

SIZES = {"cuda": ("qwen2-1.5b", 32, 600, 64), "cpu": ("smollm2-135m", 2, 48, 4)}
"""By device: a preset, rows at once, tokens of a row, new tokens of one."""


def results(deadline: float, device: str) -> Iterator[dict[str, Any]]:
    """Yield the speeds that there is time for until ``deadline``."""
    size, rows, length, new = SIZES[device]
    began = time.monotonic()
    model = random_model(size, "bf16", torch.device(device))
    examples = random_rows(2 * rows, length)
    cost = time.monotonic() - began
    for name, read, tokens in (
        ("teacher_forced", lambda: forced(model, examples, rows), 2 * rows * length),
        ("generate", lambda: written(model, examples, rows, new), 2 * rows * new),
    ):
        title = f"{name} {size}, {rows} × {length}" + (f", {new} new" if name == "generate" else "")
        if time.monotonic() + cost > deadline:
            yield {"name": title, "skipped": "no time left"}
            continue
        try:
            seconds = best(read, device)
        except Exception:
            yield {"name": title, "error": traceback.format_exc()}
            continue
        flops = 2.0 * sum(parameter.numel() for parameter in model.parameters()) * tokens / seconds
        speed = {"seconds": seconds, "tokens_a_second": tokens / seconds, "rows_a_second": 2 * rows / seconds}
        yield {"name": title, **speed, "operations_a_second": flops if name == "teacher_forced" else None}


def random_rows(count: int, length: int) -> list[Any]:
    """Return rows of random tokens, half of each its answer, half of the rows a token shorter."""
    from secura_bench.data.example import Example
    from secura_bench.tasks.row import Row

    rows = []
    for number in range(count):
        ids = torch.randint(3, 100, (length - number % 2,)).tolist()
        row = Row(id=str(number), prompt="?", target="!")
        rows.append(Example("task", row, tuple(ids[: length // 2]), tuple(ids[length // 2 :]), 1.0))
    return rows


CHAT: Any = SimpleNamespace(pad_id=0, stop_ids=frozenset({1}), decode=lambda ids: "")
"""What stands in for a chat format: nothing is decoded."""


def forced(model: Any, examples: Sequence[Any], rows: int) -> None:
    """Score all by teacher forcing."""
    from secura_bench.evaluation.predicting.teacher_forced import teacher_forced

    for _ in teacher_forced(model, examples, CHAT, rows):
        pass


def written(model: Any, examples: Sequence[Any], rows: int, new: int) -> None:
    """Let the model write ``new`` tokens after each prompt."""
    from secura_bench.evaluation.predicting.generate import generate

    for _ in generate(model, examples, CHAT, rows, new):
        pass


def best(act: Callable[[], None], device: str, times: int = 3) -> float:
    """Return the seconds of the fastest of some tries, the first left out."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        if device == "cuda":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    return min(took[1:])
