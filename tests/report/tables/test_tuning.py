"""The ledger of tuning, from records made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hand_records import BASE, run, study_of, table_of

from secura_bench.report.make import make_report
from secura_bench.report.study.runs import Run
from secura_bench.report.tables.table import Number
from secura_bench.results.record import RunRecord

TUNED = {
    "family": "mine", "settings": {"train.lr": 1e-3}, "choose": "match", "grid": {"train.lr": [1e-4, 1e-3, 1e-2]},
    "reference": "other", "from": ["exp-tune/a", "exp-tune/b"], "on": ["v"], "rows": [90, 10], "steps": 60,
    "seeds": [1, 2], "runs": 6, "seconds": 120.0, "loss": 1.25, "learned": 80.0,
    "by": "teacher_forced", "edges": {"train.lr": "highest"},
    "left_out": {"gone": "it diverged"},
}  # fmt: skip


def tuned(label: str, seed: int = 1, shift: float = 0.0, **changes: Any) -> RunRecord:
    told = {**TUNED, "family": label, **changes}
    return run(seed, shift, method={"name": "x", "label": label, "options": {}, "train": {}, "tuned": told})


def test_a_row_says_what_tuning_took_and_what_came_of_it() -> None:
    table = table_of([BASE, tuned("mine"), tuned("other", edges={}, seconds=60.0)], "tuning")
    heads = [column.heading for column in table.columns]
    mine, other = (dict(zip(heads, row.entries, strict=True)) for row in table.rows)
    assert (mine["method"], mine["choose"], mine["rows"], mine["seeds"]) == ("mine", "match", "90 + 10", "1, 2")
    assert (mine["chosen"], other["chosen"]) == ("train.lr 0.001 (highest of the grid)", "train.lr 0.001")
    numbers = {key: entry.cell.value for key, entry in mine.items() if isinstance(entry, Number)}
    assert (numbers["runs"], numbers["min"], numbers["steps"], numbers["loss"]) == (6, 2, 60, 1.25)
    assert mine["of"] == "train.lr 0.0001, 0.001, 0.01" and mine["on"] == "v"


def test_other_tables_have_it_as_a_note_and_those_of_no_choice_do_not() -> None:
    (table, *_) = make_report([Run(record) for record in (BASE, tuned("mine"))], ["retention"]).tables
    assert any("Settings chosen by trials: mine train.lr 0.001 (highest of the grid), match" in n for n in table.notes)
    assert "Left out by tuning: gone: it diverged." in table.notes
    for records in ([BASE, run(1)], [BASE, tuned("mine", choose="frontier", left_out={})]):
        (table, *_) = make_report([Run(record) for record in records], ["retention"]).tables
        assert not any("tuning" in note or "trials" in note for note in table.notes)


def test_where_the_grid_says_how_long_is_trained_no_other_length_is_named() -> None:
    record = tuned("mine", grid={"train.epochs": [1, 3]}, settings={"train.epochs": 3}, edges={}, choose="best")
    table = table_of([BASE, record], "tuning")
    heads = [column.heading for column in table.columns]
    (row,) = table.rows
    assert "steps" not in heads and row.entries[heads.index("of")] == "train.epochs 1, 3"
    (table, *_) = make_report([Run(record) for record in (BASE, record)], ["retention"]).tables
    (note,) = [note for note in table.notes if note.startswith("Settings chosen by trials")]
    assert "best of train.epochs 1, 3, 6 runs on v, epochs as in the grid" in note and "60" not in note


def test_of_a_frontier_a_method_has_one_row() -> None:
    records = [tuned(f"mine-{rate}", choose="frontier", family="mine", settings={"train.lr": rate}) for rate in (1, 2)]
    table = table_of([BASE, *records], "tuning")
    assert [row.entries[:3] for row in table.rows] == [("mine", "frontier", "all")]


@pytest.mark.parametrize("told", [{"family": "mine"}, {"settings": {"interpolate": 0.5}, "family": "mine"}, {"x": 1}])
def test_what_another_program_says_of_a_choice_is_passed_over(told: dict[str, Any]) -> None:
    record = run(1, method={"name": "x", "label": "mine", "options": {}, "train": {}, "tuned": told})
    assert make_report([Run(BASE), Run(record)]).tables


def test_a_choice_is_no_setting_that_tells_runs_apart() -> None:
    study = study_of([BASE, tuned("mine", 1), tuned("mine", 2, seconds=3.0)])
    (arm,) = study.arms
    assert arm.seeds == (1, 2)
