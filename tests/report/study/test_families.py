"""Which methods are one method at several settings."""

from __future__ import annotations

import json
from pathlib import Path

from gridded import GRIDS, RATES, write_grid
from synthetic import Character

from secura_bench.report.study.families import families, family_of
from secura_bench.report.study.frontier import every_frontier
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study


def study_of(root: Path) -> Study:
    (study,) = make_studies(read_runs([root])[0])
    return study


def change(root: Path, pattern: str, **changes: object) -> None:
    for path in root.glob(f"*/{pattern}/record.json"):
        whole = json.loads(path.read_text())
        whole["method"] |= changes
        path.write_text(json.dumps(whole))


def test_a_grid_is_a_family_by_its_declaration_or_by_one_number_that_differs(tmp_path: Path) -> None:
    for declared in (True, False):
        root = write_grid(tmp_path / str(declared), declared=declared, seeds=(1,))
        found = families(study_of(root))
        assert [(each.name, each.key, each.values) for each in found] == [
            ("lora", "train.lr", RATES), ("secura", "train.lr", RATES),
        ]  # fmt: skip
        assert found[0].methods == tuple(f"lora-lr-{rate:g}" for rate in RATES)
        assert family_of(study_of(root), "secura") == found[1] and family_of(study_of(root), "lora-lr-0.001") is None


def test_two_entries_of_a_method_are_a_family_only_if_declared(tmp_path: Path) -> None:
    pair = {"lora": GRIDS["lora"][:2]}
    assert families(study_of(write_grid(tmp_path / "left", pair, declared=False, seeds=(1,)))) == []
    (found,) = families(study_of(write_grid(tmp_path / "declared", pair, seeds=(1,))))
    assert found.values == RATES[:2]


def test_a_grid_of_two_settings_is_a_curve_along_the_one_with_more_values(tmp_path: Path) -> None:
    grid = [Character(0.5, 0.1)] * 4
    root = write_grid(tmp_path, {"lora": grid, "dora": grid}, declared=False, seeds=(1,))
    for method, rank in (("lora", 8), ("dora", 16)):
        for rate in RATES:
            note = {"name": "lora", "options": {"r": rank}}
            change(root, f"{method}-lr-{rate:g}-*", **note)
    assert [(each.name, each.key, len(each.methods)) for each in families(study_of(root))] == [
        ("lora r=16", "train.lr", 4), ("lora r=8", "train.lr", 4),
    ]  # fmt: skip


def test_words_and_switches_are_no_axis(tmp_path: Path) -> None:
    root = write_grid(tmp_path, {"lora": [Character(0.5, 0.1)] * 3}, declared=False, seeds=(1,))
    for rate, value in zip(RATES, ("a", "b", True), strict=False):
        change(root, f"lora-lr-{rate:g}-*", options={"init": value}, train={"lr": 1.0})
    assert families(study_of(root)) == []


def test_an_option_that_keeps_more_where_it_is_greater_runs_the_other_way(tmp_path: Path) -> None:
    root = write_grid(tmp_path, {"er": GRIDS["lora"][:3][::-1]}, declared=False, seeds=(1,))
    for rate in RATES[:3]:
        change(root, f"er-lr-{rate:g}-*", options={"ratio": rate}, train={"steps": 40})
    (found,) = every_frontier(study_of(root))
    (line,) = found.lines
    assert line.family.key == "methods.ratio" and line.values == RATES[:3][::-1], "from gentle to strong"
