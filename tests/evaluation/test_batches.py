"""A protocol says in which batches it asks, so that several processes can deal them out."""

from __future__ import annotations

from typing import Any

import pytest

from secura_bench.data.dataset import load_data
from secura_bench.evaluation.predictions import Prediction
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.evaluation.protocols.protocol import Asked
from secura_bench.models.head import lent_heads
from secura_bench.models.task_heads import TaskHeads
from secura_bench.spec.sections import DataSpec

TASKS = {
    "teacher_forced": "tiny_arith",
    "generate": "tiny_translate",
    "own_metric": "tiny_arith",
    "choice": "tiny_choice",
    "perplexity": "tiny_text",
    "classify": "tiny_langid_head",
    "execute": "tiny_run",
}


@pytest.fixture(scope="module", params=TASKS)
def asked(request: Any, tiny: Any) -> tuple[str, Asked]:
    """A protocol and what it is to ask of the tiny model: rows of one task, three a batch, some known."""
    model, chat, _ = tiny
    data = load_data(TASKS[request.param], DataSpec(rows=60), chat)
    file = data.file.model_copy(update={"max_new_tokens": 2})
    examples = list(data.test[:8])
    known = {0: Prediction(), 3: Prediction()}
    return request.param, Asked(model, file, examples, chat, 3, 600, known, {"python": ""}, True)


def test_they_are_those_in_which_it_asks_each_with_what_it_takes(asked: tuple[str, Asked], tiny: Any) -> None:
    protocol, what = asked
    way = PROTOCOLS[protocol]
    heads = TaskHeads({"tiny_langid_head": 8}, tiny[0].config.hidden_size, 0)
    with lent_heads(tiny[0], heads):
        found = [[i for i, _ in batch] for batch in way.predict(what)]
    assert way.batches(what) == found and len(found) > 1
    assert all(way.reads([what.examples[i] for i in batch], what.context)[0] > 0 for batch in found)
