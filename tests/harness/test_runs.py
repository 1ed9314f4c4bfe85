"""Runs with a part of the probe that is the harness's: what they record, and that they train as without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPEC, secura_bench
from harness_tasks import ROWS
from safetensors.torch import load_file

TRAINS = (
    SPEC.replace("[{name: lora, r: 2}]", "[{name: lora, r: 2, dropout: 0.3}]")
    .replace("steps: 2", "steps: 3")
    .replace("[teacher_forced, generate], limit: 3", "[teacher_forced], limit: 3, every: 1")
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, suites: Path) -> Path:
    """A folder with the results of one spec without and one with tasks of the harness in its probe."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "without.yaml").write_text(TRAINS)
    entry = f"{{lm_eval: [gen_choice, gen_sums], include_path: {suites}}}"
    (folder / "with.yaml").write_text(
        TRAINS.replace("trial", "theirs").replace("tiny_f_task", f"[tiny_f_task, {entry}]")
    )
    for name in ("without", "with"):
        run = secura_bench("run", f"{name}.yaml", "--quiet", "--allow-code", cwd=folder)
        assert run.returncode == 0, run.stderr
    return folder


def run_folder(work: Path, experiment: str, method: str) -> Path:
    (found,) = (work / "results" / experiment).glob(f"tiny-{method}-*")
    return found


def test_a_run_trains_to_the_same_weights_with_it_and_without(done: Path) -> None:
    one, other = (
        load_file(run_folder(done, name, "lora") / "adapter" / "trained.safetensors") for name in ("trial", "theirs")
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_bench_scores_what_it_scored_without_it(done: Path) -> None:
    def scores(name: str) -> list[Any]:
        found = json.loads((run_folder(done, name, "lora") / "record.json").read_text())["scores"]
        return [each["values"] for each in found if each["protocol"] == "teacher_forced"]

    assert scores("trial") == scores("theirs")


def test_items_are_in_the_record_at_every_moment(done: Path) -> None:
    folder = run_folder(done, "theirs", "lora")
    record = json.loads((folder / "record.json").read_text())
    assert record["probe"] == "tiny_f_task + lm_eval:gen_choice + lm_eval:gen_sums"
    note = record["data"]["lm_eval:gen_choice"]
    assert (note["probe_rows"], note["train_rows"], note["probe_chance"]) == (ROWS, 0, 25.0)
    assert note["source"].startswith("lm_eval:0.") and note["revision"] == "version 1.0"
    theirs = [score for score in record["scores"] if score["protocol"] == "lm_eval"]
    assert len(theirs) == 3 * 3  # after each step the pool and its two parts
    assert {score["task"] for score in theirs if score["role"] == "part"} == {"lm_eval:gen_choice", "lm_eval:gen_sums"}
    assert {score["n"] for score in theirs if score["role"] == "probe"} == {2 * ROWS}
    files = sorted(folder.glob("evals/*/lm_eval/probe/lm_eval-gen_choice.json"))
    assert len(files) == 3
    items = json.loads(files[-1].read_text())
    assert len(set(items["id"])) == ROWS and {*items["acc"]} <= {0.0, 1.0}
    assert items["score"] == [100 * value for value in items["acc"]]


def test_no_column_has_both_kinds(done: Path) -> None:
    report = secura_bench("report", "results/theirs", "--format", "json", cwd=done)
    assert report.returncode == 0, report.stderr
    titles = [table["title"] for table in json.loads(report.stdout)["tables"]]
    assert any(title.endswith("teacher-forced · probe tiny_f_task") for title in titles)
    assert any(title.endswith("lm-eval · probe lm_eval:gen_choice + lm_eval:gen_sums") for title in titles)


def test_a_gate_can_stand_on_it(done: Path) -> None:
    gate = secura_bench("report", "results/theirs", "--require", "kept.score >= 0", cwd=done)
    said = [line for line in gate.stderr.splitlines() if "kept.score" in line]
    assert (len(said) == 1 and "lm-eval" in said[0] and f"{2 * ROWS} rows" in said[0]) or "chance" in said[0]


def test_a_spec_is_checked_with_its_tasks_loaded(done: Path, suites: Path) -> None:
    checked = secura_bench("validate", "with.yaml", "--allow-code", cwd=done)
    assert checked.returncode == 0 and "valid" in checked.stdout and not checked.stderr
    unread = secura_bench("validate", "with.yaml", cwd=done)
    assert unread.returncode == 0 and "lm_eval:gen_choice: not loaded, for include_path is code" in unread.stderr
    wrong = secura_bench(
        "validate", "with.yaml", "--set", "probe=lm_eval:hellaswagg", "--set", "probe_rows=null", cwd=done
    )
    assert wrong.returncode == 2 and "probe: lm-eval has no task, group or tag 'hellaswagg'" in wrong.stderr
    refused = secura_bench("run", "with.yaml", cwd=done)
    assert refused.returncode == 2 and "--allow-code" in refused.stderr


def test_a_plan_counts_its_items(done: Path) -> None:
    plan = secura_bench("plan", "with.yaml", "--allow-code", cwd=done)
    assert plan.returncode == 0, plan.stderr
    assert f"{6 + 2 * ROWS} rows" in plan.stdout and "teacher_forced, lm_eval" in plan.stdout
    assert "of them 2 done" in plan.stdout  # the fingerprints are those of the runs
