"""Items of every protocol, padding computed and kept out of the MLPs: bit for bit the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from secura_bench.data.dataset import load_data
from secura_bench.evaluation.evaluate import evaluate
from secura_bench.models import unpadded as kept_out
from secura_bench.models.head import lent_heads
from secura_bench.models.task_heads import TaskHeads
from secura_bench.spec.sections import DataSpec

TASKS = {
    "teacher_forced": "tiny_arith",
    "generate": "tiny_translate",
    "choice": "tiny_choice",
    "perplexity": "tiny_text",
    "classify": "tiny_langid_head",
}


@pytest.mark.parametrize("protocol", TASKS)
def test_items_are_the_same(protocol: str, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, chat, _ = tiny
    data = load_data(TASKS[protocol], DataSpec(rows=240), chat)
    file = data.file.model_copy(update={"max_new_tokens": 4})
    rows = [replace(row, prompt_ids=row.prompt_ids[-4:]) if n % 2 else row for n, row in enumerate(data.test[:24])]
    seen: list[int] = []
    for layer in model.model.layers:
        monkeypatch.setattr(layer.mlp, "forward", noted(layer.mlp.forward, seen))
    heads = TaskHeads({rows[0].task: len(rows[0].row.choices or ())}, 128, 0) if protocol == "classify" else None

    def items() -> tuple[Any, int]:
        with lent_heads(model, heads):
            found = evaluate(protocol, model, file, rows, chat, 24, 64)
        positions = sum(seen)
        seen.clear()
        return found.predictions, positions

    items()  # the first time, what may be used of the model is asked
    (kept, fewer), _ = items(), monkeypatch.setattr(kept_out, "_WORTH_IT", 0.0)
    computed, all_of_them = items()
    assert kept == computed
    assert fewer < all_of_them


def noted(forward: Any, seen: list[int]) -> Any:
    """Return ``forward``, noting of how many positions."""

    def forwarding(hidden: torch.Tensor) -> Any:
        seen.append(hidden.shape[0] * hidden.shape[1])
        return forward(hidden)

    return forwarding
