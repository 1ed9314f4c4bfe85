"""``docs/models.md`` is of the matrix as it is in the code, counts what it shows, and shows nothing wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cells import Outcome
from columns import COLUMNS
from kept import Kept
from page import PAGE, kind_of, page
from zoo import ARCHITECTURES


def _tables(text: str) -> list[list[list[str]]]:
    """Return the cells of each table, its head first."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    return [
        [
            [cell.strip(" `") for cell in line[1:-1].replace("\\|", "¦").split("|")]
            for line in block
            if "---" not in line
        ]
        for block in blocks
    ]


def test_its_rows_and_columns_are_those_of_the_code() -> None:
    cells, counts, reasons, _ = _tables(PAGE.read_text(encoding="utf-8"))
    assert cells[0][1:] == [row[0] for row in counts[1:]] == list(ARCHITECTURES)
    assert [row[0] for row in cells[1:]] == list(COLUMNS)
    letters = {row[0]: int(row[1]) for row in reasons[1:]}
    shown = Counter(sign for row in cells[1:] for sign in row[1:])
    assert shown == {**letters, "+": sum(int(row[1]) for row in counts[1:])}, "a cell is wrong, or has no reason"
    for number, (_, right, refused, wrong) in enumerate(counts[1:], 1):
        signs = Counter(row[number] for row in cells[1:])
        assert (int(right), int(refused), int(wrong)) == (signs["+"], len(COLUMNS) - signs["+"], 0)


def test_a_table_becomes_a_page() -> None:
    table = {(row, column): Outcome("right") for row in ARCHITECTURES for column in COLUMNS}
    table["llama", "seq"] = Outcome("wrong", "another number")
    table["gpt2", "lora"] = Outcome("refused", "method 'lora-1' does not fit model 'gpt2': it has no q_proj.")
    table["opt", "lora"] = Outcome("refused", "/tmp/x/spec.yaml:14: it has no q_proj.")
    table["mpt", "lora"] = Outcome("right", "peft: no adapter.")
    kept = Kept()
    kept.add(table, "commit abc, peft 0.1")
    text = page(kept)
    cells, counts, reasons, alone = _tables(text)
    total = len(ARCHITECTURES) * len(COLUMNS)
    assert f"Of {total} cells {total - 3} are right, 2 refused and 1 wrong" in text
    assert f"They were run with:\n\n- commit abc, peft 0.1 ({total} cells)\n" in text
    assert cells[1][1] == "X" and Counter(cells[2][1:]) == {"+": len(ARCHITECTURES) - 2, "a": 2}
    assert counts[1] == ["llama", str(len(COLUMNS) - 1), "0", "1"]
    assert reasons[1:] == [["a", "2", "it has no q_proj."]] and alone[1:] == [["1", "peft: no adapter."]]


def test_reasons_of_one_kind_are_one() -> None:
    shared = "target_modules: lm_head shares its weight with {} (they are tied)"
    assert kind_of(shared.format("transformer.wte")) == kind_of(shared.format("model.decoder.embed_tokens"))
    assert kind_of(shared.format("model.embed_tokens")).endswith("with … (they are tied)")
    choice = "PEFT has no modules of its own choice for {}; name them"
    assert kind_of(choice.format("OPTForCausalLM")) == kind_of(choice.format("MptForCausalLM"))
    apart = "its logits are up to {} away, where training moved them by {}. Nothing is written."
    assert kind_of(apart.format("0.0013", "2e-05")) == kind_of(apart.format("2", "3"))


def test_a_later_command_goes_on_in_the_file_of_an_earlier_one(tmp_path: Path) -> None:
    file, first = tmp_path / "said", Kept.read(None)
    first.add({("llama", "seq"): Outcome("wrong", "a | b"), ("opt", "seq"): Outcome("right")}, "then")
    first.write(file)
    again = Kept.read(file)
    assert again.cells == first.cells
    again.add({("llama", "seq"): Outcome("right")}, "now")
    assert again.table["llama", "seq"].kind == "right" and sorted(again.made()) == [("now", 1), ("then", 1)]
