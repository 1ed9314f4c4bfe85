"""Runs as a data frame: the tidy CSV's rows and columns, a score or an item each."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from synthetic import CHARACTERS, write_records

from secura_bench import RunsRead, read_runs
from secura_bench.report.formats.tidy import COLUMNS
from secura_bench.report.make import make_report, render
from secura_bench.report.study.runs import trained


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> RunsRead:
    return read_runs([write_records(tmp_path_factory.mktemp("results"), every=20)])


def test_a_row_a_score_is_what_the_csv_has(read: RunsRead) -> None:
    frame = read.to_dataframe()
    rows = [row for row in csv.DictReader(io.StringIO(render(make_report(read.runs), "csv"))) if row["metric"]]
    told = [row for row in rows if row["table"] == "scores"]
    assert len(frame) == len(told) == sum(len(score.values) for run in read.runs for score in run.record.scores)
    assert set(frame.columns) - set(COLUMNS) == {"n"}
    for name in ("experiment", "mode", "protocol", "method", "sequence", "role", "task", "metric"):
        assert list(frame[name]) == [row[name] for row in told]
    for name in ("at", "step", "number"):
        assert list(frame[name].astype(float)) == [float(row[name]) for row in told]
    base = frame["method"] == "base"
    assert frame["seed"].isna().equals(base) and frame["after"].isna().equals(base), "neither of the untouched model"
    assert list(frame["seed"].fillna(0)) == [int(row["seed"] or 0) for row in told]


def test_a_row_an_item_has_the_scores_mean(read: RunsRead) -> None:
    keys = ["method", "seed", "protocol", "at", "role", "task", "metric"]
    items = read.to_dataframe(items=True).fillna({"seed": 0})
    scores = read.to_dataframe().fillna({"seed": 0}).set_index(keys)
    assert "probe" not in set(items["role"]) and items["item"].notna().all()
    both = items.groupby(keys)["number"].agg(["mean", "size"]).join(scores, how="inner")
    assert len(both) == (scores.index.get_level_values("role") != "probe").sum() > 100
    assert (both["mean"] - both["number"]).abs().max() < 1e-6 and (both["size"] == both["n"]).all()


def test_a_base_that_two_modes_share_has_its_rows_once(tmp_path: Path) -> None:
    write_records(tmp_path, characters={"seq": CHARACTERS["seq"]}, seeds=(1,))
    write_records(tmp_path / "more", characters={"seq": CHARACTERS["seq"]}, seeds=(1,), mode="separate")
    for path in (tmp_path / "more").rglob("base-*/record.json"):
        path.unlink()
    frame = read_runs([tmp_path]).to_dataframe()
    assert set(frame["mode"]) == {"sequence", "separate"}
    assert not frame.duplicated(
        ["mode", "method", "sequence", "seed", "protocol", "at", "role", "task", "metric"]
    ).any()


def test_nothing_is_an_empty_frame_of_the_same_columns() -> None:
    empty = RunsRead([], [])
    assert empty.to_dataframe().empty and list(empty.to_dataframe(items=True).columns)[-1] == "item"
    runs, problems = empty
    assert runs == problems == []


def test_a_record_says_whether_it_trained(read: RunsRead) -> None:
    assert {run.record.method["label"] for run in read.runs if not trained(run.record)} == {"base"}
    assert {run.record.method["label"] for run in read.runs if trained(run.record)} == {"seq", "lora", "secura"}
