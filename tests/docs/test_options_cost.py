"""What options cost in numbers: each row of the page is held by tests that there are, and every option is a spec's."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from conftest import ROOT

from secura_bench.models.load import find_model, load_model
from secura_bench.spec.loading import LoadSpec
from secura_bench.spec.sections import EvaluateSpec, TrainSpec

PAGE = (ROOT / "docs" / "options-cost.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| (`|several|a row)", line)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_is_held_by_tests_that_there_are(row: list[str]) -> None:
    option, *_, held = row
    file = ""
    for name in re.findall(r"`([^`]*::\w+)`", held):
        path, _, test = name.partition("::")
        file = (ROOT / path).read_text(encoding="utf-8") if path else file
        assert f"def {test}(" in file, name
    assert file, f"{option}: held by none"
    for section, key in re.findall(r"`(train|evaluate)\.(\w+)", option):
        assert key in {"train": TrainSpec, "evaluate": EvaluateSpec}[section].model_fields


def test_attention_is_the_same_by_either_way() -> None:
    tiny, ids = find_model("tiny"), torch.arange(3, 40)[None]
    eager, sdpa = (
        load_model(replace(tiny, load=LoadSpec(attn_implementation=said)))(input_ids=ids).logits  # type: ignore[arg-type]
        for said in ("eager", "sdpa")
    )
    assert (eager - sdpa).abs().max() <= 1e-5 * sdpa.abs().max()
