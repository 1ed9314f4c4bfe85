"""Rows in the order of their source: drawn from the front, tested at the end, and trained on one after another."""

from __future__ import annotations

import json
from pathlib import Path

from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import load_data
from secura_bench.data.split import split_from, split_rows
from secura_bench.data.streams import RowStream
from secura_bench.models.load import load_tokenizer
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import CATALOG
from secura_bench.tasks.row import Row


def rows(prompts: str) -> list[Row]:
    return [Row(str(i), prompt, "answer") for i, prompt in enumerate(prompts)]


def test_without_a_seed_rows_stay_as_they_are() -> None:
    """The last groups are tested on; rows of one prompt stay on one side, and at their place in it."""
    split = split_rows(rows("abcadefghixyz"), 10, 0.2, seed=None)
    assert ["".join(row.prompt for row in side) for side in (split.train, split.test)] == ["abcadefg", "hi"]
    split = split_rows(rows("abcdefghia"), 10, 0.2, seed=None)
    assert ["".join(row.prompt for row in side) for side in (split.train, split.test)] == ["abcdefga", "hi"]
    split = split_from(rows("abcdefxyz"), rows("zc"), 6, seed=None)
    assert ["".join(row.prompt for row in side) for side in (split.train, split.test)] == ["abdef", "zc"]


def test_a_tasks_rows_are_the_first_of_its_file(tiny, tmp_path: Path) -> None:
    path = tmp_path / "ordered.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"question {i}", "answer": "yes"}) + "\n" for i in range(40)))
    name = CATALOG.add_file(path)
    chat = ChatFormat(load_tokenizer(tiny[2]))
    data = load_data(name, DataSpec(rows=20, shuffle=False), chat)
    assert [e.row.prompt for e in data.train] == [f"question {i}" for i in range(18)]
    assert [e.row.prompt for e in data.test] == ["question 18", "question 19"]


def test_a_sequential_stream_deals_rows_in_order_again_and_again() -> None:
    """As torch's SequentialSampler, batches running on over an epoch's end; and it goes on from where it was."""
    stream = RowStream(5, "sequential", "any")
    assert [stream.draw(3) for _ in range(2)] == [[0, 1, 2], [3, 4, 0]]
    resumed = RowStream(5, "sequential", "other")
    resumed.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert stream.draw(6) == resumed.draw(6) == [1, 2, 3, 4, 0, 1]
