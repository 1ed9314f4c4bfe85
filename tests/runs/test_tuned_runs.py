"""Tuning from the trials to the report: killed in between, matched, left out, and told in every table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import secura_bench

SPEC = """\
experiment: trial
mode: separate
model: tiny
tasks: [tiny_group]
probe: tiny_f_task
probe_rows: 6
methods:
  - {name: seq, grid: {train.lr: [1.0e-5, 1.0e-3]}}
  - lora
  - {name: lora, label: slow, r: 1, grid: {train.lr: [1.0e-7, 1.0e-6]}}
train: {lr: 1.0e-4, steps: 10, batch_size: 8, clip_norm: 1.0}
evaluate: {protocols: [teacher_forced], limit: 20, batch_size: 32}
data: {rows: 200}
tune: {grid: {train.lr: [1.0e-4, 1.0e-2]}, on: tiny_count, choose: match, reference: lora}
threads: 1
"""


def records(folder: Path) -> dict[str, dict[str, Any]]:
    found = (json.loads(path.read_text()) for path in folder.rglob("record.json"))
    return {record["name"]: record for record in found}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the trials are done, and the command was stopped before anything was chosen."""
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "spec.yaml").write_text(SPEC)

    def stopped(*words: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secura_bench.runs.stages.settle", stopped)
        assert secura_bench("run", "spec.yaml", cwd=folder).returncode == 130
    assert len(records(folder / "results/trial-tune")) == 7 and not (folder / "results/trial").exists()
    return folder


@pytest.fixture(scope="module")
def done(work: Path) -> tuple[Path, str]:
    """The same, after the same command; and what that said."""
    folder = work.with_name("done")
    shutil.copytree(work, folder)
    said = secura_bench("run", "spec.yaml", cwd=folder)
    assert said.returncode == 0, said.stderr
    return folder, " ".join((said.stdout + said.stderr).split())


def test_a_command_that_was_stopped_before_the_choice_goes_on(work: Path, done: tuple[Path, str]) -> None:
    first, _ = done
    other = work.with_name("other")
    shutil.copytree(work, other)
    assert secura_bench("run", "spec.yaml", "--quiet", cwd=other).returncode == 0
    one, two = (records(folder / "results/trial") for folder in (first, other))
    assert one.keys() == two.keys() and len(one) == 3
    assert records(first / "results/trial-tune") == records(work / "results/trial-tune"), "no trial was done again"
    for name in one:
        assert (one[name]["scores"], one[name]["method"]) == (two[name]["scores"], two[name]["method"])


def test_what_is_chosen_stands_in_the_record_and_is_said(done: tuple[Path, str]) -> None:
    folder, said = done
    trials = records(folder / "results/trial-tune")
    by_name = {record["method"]["label"]: record for record in records(folder / "results/trial").values()}
    assert by_name.keys() == {"base", "seq", "lora"}
    tuned = by_name["lora"]["method"]["tuned"]
    assert tuned["settings"] == {"train.lr": 1e-2} and tuned["edges"] == {"train.lr": "highest"}
    assert [name.rpartition("/")[0] for name in tuned["from"]] == ["trial-tune"] * 2
    own = [record for record in trials.values() if record["method"]["label"].startswith("lora-")]
    seconds = sum(record["cost"]["train_seconds"] + record["cost"]["evaluate_seconds"] for record in own)
    assert (tuned["runs"], tuned["steps"], tuned["rows"]) == (2, 10, [180, 20])
    assert tuned["seconds"] == pytest.approx(seconds, abs=0.06)
    assert tuned["loss"] == pytest.approx(by_label(trials, "lora-lr-0.01"), rel=1e-5)
    rate = by_name["seq"]["method"]["tuned"]["settings"]["train.lr"]
    assert 1e-5 < rate < 1e-3 and by_name["seq"]["method"]["train"]["lr"] == rate
    assert [*tuned["left_out"]] == ["slow"] and "slow is left out: it learns" in said
    assert "train.lr is the highest of the grid" in said


def by_label(trials: dict[str, dict[str, Any]], label: str) -> float:
    (record,) = (record for record in trials.values() if record["method"]["label"] == label)
    (loss,) = (score["values"]["loss"] for score in record["scores"] if score["role"] == "task" and score["after"])
    return loss


def test_the_ledger_stands_under_the_tables_and_in_one_of_its_own(done: tuple[Path, str]) -> None:
    folder, said = done
    assert "Left out by tuning: slow: it learns" in said
    chosen = said.split("Settings chosen by trials: ")[1]
    assert 0 <= chosen.find("seq train.lr") < chosen.find("lora train.lr"), "in the order of the spec"
    table = secura_bench("report", "results/trial", "--table", "tuning", "--format", "csv", cwd=folder)
    assert table.returncode == 0, table.stderr
    lines = [line for line in table.stdout.splitlines() if "tuning_runs" in line]
    assert len(lines) == 2
    assert any(",seq," in line and "char_bleu:difference" in line for line in table.stdout.splitlines()), "how far off"


def test_trials_are_planned_validated_and_done_one_by_one(work: Path) -> None:
    folder = work.with_name("planned")
    shutil.copytree(work, folder)
    said = secura_bench("validate", "spec.yaml", cwd=folder).stdout
    assert "4 runs of 3 methods on 1 task, and before them 7 runs of trial-tune" in said
    shutil.rmtree(next((folder / "results/trial-tune").glob("tiny-seq-lr-0.001-*")))
    plan = secura_bench("run", "spec.yaml", "--dry-run", cwd=folder).stdout
    assert "runs      7, of them 6 done" in plan and "Settings: to be chosen by trials" in plan
    assert "adds 7 runs of trial-tune" in plan and all(len(line) <= 80 for line in plan.splitlines())
    assert "7, of them 6 done" in plan
    one = secura_bench("run", "spec.yaml", "--only", "slow-lr-1e-06", cwd=folder)
    assert one.returncode == 0 and "the runs of trial wait for the trials of trial-tune" in one.stderr
    assert not records(folder / "results/trial")


def test_a_finished_run_is_told_how_it_is_chosen_now(done: tuple[Path, str], tmp_path: Path) -> None:
    """The same run may be of a larger grid, or was written by hand: its record then says so, and keeps its numbers."""
    shutil.copytree(done[0], tmp_path, dirs_exist_ok=True)
    (path,) = (tmp_path / "results/trial").glob("tiny-lora-*/record.json")
    before = json.loads(path.read_text())
    changed = {**before, "method": {key: value for key, value in before["method"].items() if key != "tuned"}}
    path.write_text(json.dumps(changed))
    assert secura_bench("run", "spec.yaml", "--quiet", cwd=tmp_path).returncode == 0
    assert json.loads(path.read_text()) == before
