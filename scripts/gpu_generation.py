"""What a run writes of many prompts, some in the places of others that have ended, beside what it writes of each."""

from __future__ import annotations

from typing import Any

import torch

TASKS = ("tiny_choice", "tiny_arith")
ROWS, AT_ONCE, NEW = 24, 8, 16
"""Of each task, rows at once, tokens of an answer at most."""

BOUNDS = {"fp32": 0.95, "bf16": 0.8}
"""The least share of rows that get the same text."""


def generated(precision: Any, device: str) -> dict[str, Any]:
    """Return whether rows take the places of others, as in fp32 they are to, and what share gets its text alone too."""
    from secura_bench.data.chat import ChatFormat
    from secura_bench.data.dataset import load_data
    from secura_bench.evaluation.memory import memory_of
    from secura_bench.evaluation.predicting.generate import generate
    from secura_bench.models.load import find_model, load_model, load_tokenizer
    from secura_bench.spec.sections import DataSpec
    from secura_bench.training.precision import weights_dtype

    folder = find_model("tiny")
    chat = ChatFormat(load_tokenizer(folder))
    model = load_model(folder, weights_dtype(precision)).to(torch.device(device))
    rows = [row for task in TASKS for row in load_data(task, DataSpec(rows=300), chat).test[:ROWS]]

    def texts(at_once: int, continuous: bool) -> dict[int, str]:
        scored = generate(model, rows, chat, at_once, NEW, continuous=continuous)
        return {number: prediction.text for batch in scored for number, prediction in batch}

    ours, theirs = texts(AT_ONCE, precision == "fp32"), texts(1, False)
    share = sum(ours[number] == text for number, text in theirs.items()) / len(rows)
    joins, least = precision == "fp32" and memory_of(model).joins, BOUNDS[precision]
    within = share >= least and joins == (precision == "fp32")
    return {"joins": joins, "text": share, "bound": {"text": least}, "within": within}
