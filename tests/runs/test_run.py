"""Whole runs on the tiny model: from a spec to records and tables, through the command line."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import SPEC, secura_bench

from secura_bench.plan.make import make_plan
from secura_bench.report.study.runs import Run
from secura_bench.results.folder import RunFolder
from secura_bench.results.read import read_record
from secura_bench.runs.execute import execute
from secura_bench.spec.load import load_spec


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A finished experiment in sequence: base, lora, and secura with the probe on the way."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "spec.yaml").write_text(
        SPEC.replace("separate", "sequence")
        .replace("[tiny_group]", "[tiny_group, tiny_count]")
        .replace("[{name: lora, r: 2}]", "[base, {name: lora, r: 2}, {name: secura, r: 4, m: 8}]")
        .replace("limit: 3", "limit: 3, every: 1")
    )
    done = secura_bench("run", "spec.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


def records(folder: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in sorted(folder.rglob("record.json"))]
    return {record["method"]["label"]: record for record in found}


def without_times(record: dict) -> dict:
    return {key: value for key, value in record.items() if key not in ("cost", "finished_at")}


def test_run_ends_with_the_report_base_first(results: Path) -> None:
    out = (results / "stdout").read_text()
    assert out.index("base") < out.index("lora-r-2") < out.index("secura-m-8-r-4")
    assert "probe tiny_f_task" in out and "teacher-forced" in out and "Test rows: 3 of each (limited)." in out
    err = (results / "stderr").read_text()
    assert "Traceback" not in out + err and "Warning" not in err
    assert "[3/3] secura-m-8-r-4, 2 tasks" in err


def test_the_run_folder(results: Path) -> None:
    for folder in (results / "results" / "trial").glob("tiny-*"):
        names = {path.name for path in folder.iterdir()}
        assert {"spec.yaml", "manifest.json", "record.json", "evals"} <= names
        assert not list(folder.rglob(".*")), "no temporary files are left"
        manifest = (folder / "manifest.json").read_text()
        assert str(Path.home()) not in manifest and str(results) not in manifest
        assert json.loads(manifest)["data"]["tiny_arith"]["test_hash"]
    lora = next((results / "results" / "trial").glob("*lora*"))
    lines = [json.loads(line) for line in (lora / "log.jsonl").read_text().splitlines()]
    log = [entry for entry in lines if "loss" in entry]
    ends = [entry for entry in lines if entry.get("boundary")]
    assert [entry["task"] for entry in ends] == ["tiny_group", "tiny_count"]
    assert all(entry["merge_kept_step"] > 0.99 for entry in ends)  # merged into fp32 weights
    assert [(entry["task"], entry["step"]) for entry in log] == [
        ("tiny_group", 1), ("tiny_group", 2), ("tiny_count", 1), ("tiny_count", 2),
    ]  # fmt: skip


def test_stages(results: Path) -> None:
    found = records(results)

    def stages(label: str) -> list:
        return sorted({(s["stage"], s["after"], s["step"], s["finished"]) for s in found[label]["scores"]})

    assert stages("base") == [(0, None, 0, True)]
    ends = [(1, "tiny_group", 2, True), (3, "tiny_count", 2, True)]
    assert stages("lora-r-2") == sorted([(0, "tiny_group", 1, False), ends[0], (2, "tiny_count", 1, False), ends[1]])
    assert stages("secura-m-8-r-4")[0] == (0, None, 0, True)  # SigNorm changes the model before any step
    last = {s["task"] for s in found["lora-r-2"]["scores"] if s["stage"] == 3 and s["role"] == "task"}
    assert last == {"tiny_group", "tiny_count"}


def test_every_item_is_kept_texts_apart(results: Path) -> None:
    for record in results.rglob("record.json"):
        for score in json.loads(record.read_text())["scores"]:
            if score["role"] == "probe":
                continue
            folder = next(record.parent.glob(f"evals/{score['stage']:04d}-*")) / score["protocol"]
            folder /= "probe" if score["role"] == "part" else ""
            items = json.loads((folder / f"{score['task']}.json").read_text())
            texts = [json.loads(line) for line in (folder / f"{score['task']}.texts.jsonl").read_text().splitlines()]
            assert len(items["id"]) == score["n"] == len(texts)
            assert [text["id"] for text in texts] == items["id"]
            mean = sum(items["accuracy"]) / score["n"]
            assert mean == pytest.approx(score["values"]["accuracy"])
            assert "prompt" not in items


def test_a_task_that_is_trained_and_part_of_the_probe_keeps_both_its_items(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        SPEC.replace("[tiny_group]", "[tiny_code]").replace("{name: lora, r: 2}", "base").replace(", generate", "")
    )
    assert secura_bench("run", "spec.yaml", cwd=tmp_path).returncode == 0
    (run,) = (Run(read_record(path), path.parent) for path in (tmp_path / "results").rglob("record.json"))
    mine = [score for score in run.record.scores if score.task == "tiny_code"]
    assert [(score.role, score.n) for score in mine] == [("part", 2), ("task", 3)]
    part, task = (run.items(score) for score in mine)
    assert len(part.ids) == 2 and len(task.ids) == 3


def test_finished_runs_are_left_as_they_are(results: Path) -> None:
    before = {path: path.read_bytes() for path in results.rglob("record.json")}
    again = secura_bench("run", "spec.yaml", cwd=results)
    assert again.returncode == 0
    assert "3 of 3 runs were finished before" in again.stderr
    assert {path: path.read_bytes() for path in results.rglob("record.json")} == before
    assert again.stdout == (results / "stdout").read_text()


def test_same_seed_same_record(results: Path, tmp_path: Path) -> None:
    plan = make_plan(load_spec(str(results / "spec.yaml")))
    execute([plan], tmp_path / "other", progress="quiet")
    ours, other = records(results), records(tmp_path / "other")
    assert ours.keys() == other.keys()
    for label in ours:
        assert without_times(ours[label]) == without_times(other[label])


def test_no_model_stays_in_memory_beside_the_next_runs(tmp_path: Path, monkeypatch) -> None:
    import gc
    import weakref

    from secura_bench.checkpoints import lend
    from secura_bench.runs import one_run

    loaded: list[weakref.ref[torch.nn.Module]] = []
    alive: list[int] = []
    load = one_run.load_model

    def watched(*args: object) -> torch.nn.Module:
        alive.append(sum(model() is not None for model in loaded))
        model = load(*args)
        loaded.append(weakref.ref(model))
        return model

    for module in (one_run, lend):  # which train, and score what needs no training
        monkeypatch.setattr(module, "load_model", watched)
    (tmp_path / "spec.yaml").write_text(SPEC)
    methods = ["methods=[lora, secura]", "train.precision=bf16", "log={gradient_norms: true}"]
    plan = make_plan(load_spec(str(tmp_path / "spec.yaml"), methods))
    gc.disable()  # a collection by chance would hide what is kept
    try:
        execute([plan], tmp_path / "other", progress="quiet")
    finally:
        gc.enable()
    assert len(alive) == len(plan.runs) > 1 and not any(alive)


def test_an_unfinished_run_is_done_again(results: Path, tmp_path: Path) -> None:
    plan = make_plan(load_spec(str(results / "spec.yaml")))
    folder = tmp_path / plan.runs[0].folder
    (folder / "evals").mkdir(parents=True)
    (folder / "evals" / "stale.json").write_text("{")
    execute([plan], tmp_path, progress="quiet")
    assert not (folder / "evals" / "stale.json").exists()
    assert without_times(records(tmp_path)["base"]) == without_times(records(results)["base"])


def test_report_formats(results: Path) -> None:
    markdown = secura_bench("report", "results", "--format", "markdown", cwd=results)
    assert markdown.returncode == 0
    table = [line for line in markdown.stdout.splitlines() if line.startswith("|")]
    assert table[0].startswith("| trained on | method | learned BLEU |")
    found = records(results)
    probe = next(
        s["values"]["char_bleu"]
        for s in found["secura-m-8-r-4"]["scores"]
        if s["role"] == "probe" and s["stage"] == 4 and s["protocol"] == "teacher_forced"
    )
    line = next(line for line in table if "secura" in line)
    assert f" {probe:.1f} |" in line
    base = next(
        s["values"]["char_bleu"]
        for s in found["base"]["scores"]
        if s["role"] == "probe" and s["protocol"] == "teacher_forced"
    )
    assert f"| {100 * probe / base:.1f} |" in line

    tidy = secura_bench("report", "results", "--format", "csv", cwd=results)
    lines = list(csv.DictReader(io.StringIO(tidy.stdout)))
    scored = [line for line in lines if line["table"] == "scores" and line["statistic"] == "value"]
    told = [v for r in found.values() for s in r["scores"] for v in s["values"].values() if v is not None]
    assert len(scored) == len(told)
    assert {line["method"] for line in lines} == set(found)


def test_report_names_and_skips_bad_records(results: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(results / "results", tmp_path / "results")
    bad = tmp_path / "results" / "bad"
    for name, text in {
        "damaged": "{",
        "older": json.dumps({"program": "secura-bench", "schema_version": 0}),
        "foreign": json.dumps({"accuracy": 1}),
        "short": json.dumps({"program": "secura-bench", "schema_version": 2}),
    }.items():
        (bad / name).mkdir(parents=True)
        (bad / name / "record.json").write_text(text)
    done = secura_bench("report", "results", cwd=tmp_path)
    assert done.returncode == 1
    for words in (
        "damaged/record.json: is damaged",
        "schema version 0",
        "is not a record",
        "short/record.json: is damaged",
    ):
        assert words in done.stderr
    assert "lora-r-2" in done.stdout


def test_report_of_nothing(tmp_path: Path) -> None:
    for words in (["nowhere"], ["."]):
        done = secura_bench("report", *words, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith("secura-bench: ")
    (tmp_path / "empty").mkdir()
    done = secura_bench("report", "empty", ".", cwd=tmp_path)
    assert done.returncode == 2 and "empty, .: no finished run was found" in done.stderr
    done = secura_bench("report", ".", "--format", "pdf", cwd=tmp_path)
    assert done.returncode == 2 and "Known: csv, html, json, latex, markdown, terminal" in done.stderr


def test_divergence_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    changes = ["--set", "methods=[{name: seq, train: {lr: 1e30, steps: 5}}, {name: lora, r: 2}]"]
    done = secura_bench("run", "spec.yaml", *changes, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    found = records(tmp_path)
    assert found["seq"]["status"] == "diverged"
    assert found["seq"]["diverged_at"]["task"] == "tiny_group"
    assert 2 <= found["seq"]["diverged_at"]["step"] <= 5
    assert found["lora-r-2"]["status"] == "done"
    assert "1 of 1 diverged" in done.stdout


def test_a_run_that_another_process_finished_meanwhile_is_left_alone(
    results: Path, tmp_path: Path, monkeypatch
) -> None:
    """The list of what is missing is made at the start; hours later it may be out of date."""
    import shutil

    plan = make_plan(load_spec(str(results / "spec.yaml")))
    shutil.copytree(results / "results", tmp_path / "results")
    before = {path: path.read_bytes() for path in tmp_path.rglob("record.json")}
    answers = iter([False] * len(plan.runs) + [True] * 10)  # nothing is finished when the list is made
    real = RunFolder.finished.fget
    monkeypatch.setattr(RunFolder, "finished", property(lambda self: next(answers) and real(self)))
    outcome = execute([plan], tmp_path / "results", progress="quiet")
    assert len(outcome.done) == len(plan.runs)
    assert {path: path.read_bytes() for path in tmp_path.rglob("record.json")} == before


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom secura_bench.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'peft', 'pandas', 'numpy', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_report_imports_no_torch(results: Path) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom secura_bench.cli.main import app\n"
        f"assert CliRunner().invoke(app, ['report', {str(results / 'results')!r}]).exit_code == 0\n"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().endswith("False")


def test_read_record(results: Path) -> None:
    path = next(results.rglob("record.json"))
    assert read_record(path).program == "secura-bench"
