"""The tables of what runs logged beside their scores: Res and merges, norms of gradients and weights."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from conftest import secura_bench
from synthetic import CHARACTERS, write_records

from secura_bench.report.formats.document import SCHEMA
from secura_bench.report.make import FILES, make_report, render
from secura_bench.report.study.read import read_runs
from secura_bench.report.tables.table import Number, Table

TASKS = ("colours", "counting")


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Two seeds of SEQ, LoRA and SECURA; the latter two logged their merges, SECURA's second seed nothing of Res."""
    write_records(tmp_path, CHARACTERS, TASKS, (1, 2))
    for seed in (1, 2):
        kept = 0.1 * seed
        lines = [{"step": 1, "merge_kept_step": 0.9}, {"step": 40, "merge_kept_step": kept, "merge_kept_total": 0.5}]
        if seed == 1:
            lines = [{**line, "median_res": res} for line, res in zip(lines, (1.9, 1.25), strict=True)]
        log(tmp_path, f"secura-all-s{seed}", *lines, '{"median_res": 7.0, "st')
        log(tmp_path, f"lora-all-s{seed}", {"step": 40, "boundary": True, "merge_norm_ratio_step": 1.5})
    return tmp_path


def log(root: Path, run: str, *lines: dict | str) -> None:
    (path,) = root.rglob(f"{run}-*/log.jsonl")
    with path.open("a", encoding="utf-8") as stream:
        stream.writelines((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)


def table_of(records: Path, name: str) -> Table:
    (table,) = make_report(read_runs([records])[0], [name]).tables
    return table


def numbers(table: Table, choose: Callable[[str], bool] = bool) -> dict[tuple[str, str], float]:
    """Return every number that is there, by the row's first labels and the column's metric."""
    return {
        (" ".join(e for e in row.entries if isinstance(e, str)), column.of["metric"]): round(entry.cell.value, 6)
        for row in table.rows
        for column, entry in zip(table.columns, row.entries, strict=True)
        if isinstance(entry, Number) and not entry.cell.missing and choose(row.of["method"])
    }


def test_merges_and_res(records: Path) -> None:
    table = table_of(records, "merges")
    assert numbers(table) == {
        ("2 tasks secura", "median_res:last"): 1.25,
        ("2 tasks secura", "median_res:least"): 1.25,
        ("2 tasks secura", "median_res:greatest"): 1.9,
        ("2 tasks secura", "merge_kept_step"): 15.0,
        ("2 tasks secura", "merge_kept_total"): 50.0,
        ("2 tasks lora", "merge_norm_ratio_step"): 150.0,
    }, "the last of each run, a mean over seeds, and no number of a torn line"
    assert any("Logged neither: seq." in note for note in table.notes)
    assert not any("changed" in column.heading for column in table.columns), "a column without a number"


@pytest.mark.parametrize("format", FILES)
def test_they_stand_in_every_format(records: Path, format: str) -> None:
    report = make_report(read_runs([records])[0], ["merges", "norms"])
    text = render(report, format)
    assert "merge" in text and "gradient norm" in text.replace("gradient_norm", "gradient norm")
    if format == "json":
        jsonschema.validate(json.loads(text), json.loads(SCHEMA.read_text()))
    if format == "csv":
        rows = [row for row in csv.DictReader(io.StringIO(text)) if row["metric"] == "merge_kept_step"]
        assert [(row["method"], float(row["number"])) for row in rows if row["statistic"] == "value"] == [
            ("secura", 15.0)
        ]


def test_merges_are_shown_where_there_are_any(records: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert "trial · toy · merges" in secura_bench("report", str(records), cwd=records).stdout
    plain = write_records(tmp_path_factory.mktemp("plain"), CHARACTERS, TASKS, (1,))
    assert "merges" not in {table.id for table in make_report(read_runs([plain])[0]).tables}
    done = secura_bench("report", str(plain), "--table", "merges", cwd=plain)
    assert done.returncode == 2 and "none of the tables merges can be made" in done.stderr


def test_norms_are_figures_2_and_3_as_numbers(records: Path) -> None:
    found = numbers(table_of(records, "norms"), lambda method: method == "lora")
    decay = [1 / (1 + step / 10) for step in range(1, 41)]
    mean = sum(0.5 * d * (1 + task) for d in decay for task in range(2)) / 80
    assert found["lora q_proj.lora_A", "gradient_norm:mean"] == pytest.approx(mean, abs=1e-6)
    assert found["lora q_proj.lora_A", "gradient_norm:least"] == pytest.approx(0.5 * decay[-1], abs=1e-6)
    assert found["lora q_proj.lora_A", "gradient_norm:greatest"] == pytest.approx(decay[0], abs=1e-6)
    assert found["lora q_proj", "weight_norm_change:trained"] == pytest.approx(20.0)
    assert found["lora v_proj", "weight_norm_change:normalised"] == pytest.approx(100 * (6.1 / 6 - 1), abs=1e-6)
    assert ("lora q_proj", "gradient_norm:mean") not in found
