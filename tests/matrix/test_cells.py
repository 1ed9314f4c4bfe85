"""A slice of the matrix, each cell trained, killed, resumed, exported and compared; ``make matrix`` does all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import cell
from columns import COLUMNS, Names
from zoo import calls, write

SLICE = {
    ("llama-tied", "seq"): "right",
    ("llama-tied", "lora on the head"): "refused",
    ("llama-tied", "lora on the head, goes on"): "right",
    ("llama-tied", "stack of peft"): "right",
    ("llama-tied", "peft lora, layers twice"): "right",
    ("llama-tied", "peft vera"): "right",
    ("gemma3-vision", "peft lora, all-linear"): "right",
    ("gpt2", "lora"): "right",
    ("gpt2", "secura"): "right",
    ("gpt2", "peft lora, embedding"): "right",
    ("gpt2", "peft shira"): "refused",
    ("gpt-neox", "peft trainable_tokens"): "right",
    ("mpt", "peft lora"): "right",
    ("mamba", "seq"): "right",
    ("mamba", "lora"): "right",
    ("mamba", "secura on the head"): "right",
    ("jamba", "peft lora, all-linear"): "refused",
    ("bamba", "peft lora, all-linear"): "right",
    ("bamba", "peft adalora"): "right",
}


@pytest.mark.parametrize(("row", "column"), SLICE)
def test_a_cell_is_right_or_refused(tmp_path: Path, row: str, column: str) -> None:
    outcome = cell(column, write(row, tmp_path / row), Names.of(row), tmp_path / "cell")
    wanted = "right" if row == "jamba" and calls(row, "dt_proj") else SLICE[row, column]
    assert outcome.kind == wanted, outcome.why
    assert outcome.kind == "right" or outcome.why, "refused without a reason"


def test_every_column_has_a_name_on_every_architecture() -> None:
    assert all(column(Names(("q_proj",), "lm_head", "embed_tokens")) for column in COLUMNS.values())
