"""What others trained is scored as plain transformers scores it, item by item, killed and resumed or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import secura_bench
from outside import answers, save_adapter, save_merged

from secura_bench.tasks.catalog import load_task

SPEC = """\
experiment: trial
mode: separate
model: tiny
tasks: [tiny_group]
probe: tiny_f_task
probe_rows: 9
methods:
{methods}
evaluate: {{protocols: [generate, teacher_forced], limit: 6}}
data: {{rows: 60}}
threads: 1
"""
KINDS = ("lora", "dora", "ia3", "vera", "pissa")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an adapter of each kind, a merged model, and three moments of a sequence."""
    folder = tmp_path_factory.mktemp("outside")
    for kind in KINDS:
        save_adapter(folder / kind, kind)
    save_merged(folder / "merged")
    for number in (1, 2, 3):
        save_adapter(folder / f"after-{number}", steps=3 * number)
    return folder


def write(folder: Path, methods: list[dict[str, Any]], **changes: Any) -> Path:
    """Write a spec and return it."""
    import yaml

    text = SPEC.format(methods="\n".join(f"  - {json.dumps(method)}" for method in methods))
    folder.mkdir(exist_ok=True)
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(text), **changes}))
    return path


def checkpoint(label: str, path: Path, **more: Any) -> dict[str, Any]:
    return {"name": "checkpoint", "label": label, "path": str(path), **more}


def run(spec: Path, *words: str) -> Path:
    """Run a spec and return its experiment's results."""
    done = secura_bench("run", str(spec), "--quiet", *words, cwd=spec.parent)
    assert done.returncode == 0, done.stderr
    return spec.parent / "results" / "trial"


def record(results: Path, label: str, task: str = "tiny_group") -> tuple[dict[str, Any], Path]:
    """Return a run's record and folder."""
    (folder,) = results.glob(f"tiny-{label}-{task}-*")
    return json.loads((folder / "record.json").read_text()), folder


def items(folder: Path) -> dict[str, Any]:
    """Return every file of items and texts of a run, by its place."""
    found = sorted((folder / "evals").rglob("*.json*"))
    return {path.relative_to(folder / "evals").as_posix(): path.read_text() for path in found}


def texts(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return each text that a run generated, with its task."""
    files = sorted((folder / "evals").glob("*/generate/**/*.texts.jsonl"))
    return [(file.name.split(".")[0], json.loads(line)) for file in files for line in file.read_text().splitlines()]


def test_every_item_is_what_plain_transformers_gives(out: Path, tmp_path: Path) -> None:
    labels = [*KINDS, "merged"]
    results = run(write(tmp_path, [checkpoint(label, out / label) for label in labels]))
    said = {}
    for label in labels:
        _, folder = record(results, label)
        mine = texts(folder)
        assert len(mine) == 15
        most = [load_task(task).max_new_tokens for task, _ in mine]
        said[label] = [text["prediction"] for _, text in mine]
        assert said[label] == answers(out / label, [text["prompt"] for _, text in mine], most), label
    assert len({tuple(each) for each in said.values()}) >= 4  # they were not all scored as one


def test_a_sequence_of_checkpoints_gives_the_whole_matrix(out: Path, tmp_path: Path) -> None:
    tasks = ["tiny_group", "tiny_count", "tiny_langid"]
    after = {task: str(out / f"after-{number}") for number, task in enumerate(tasks, 1)}
    spec = write(
        tmp_path,
        [{"name": "checkpoint", "label": "ours", "after": after}, checkpoint("last", out / "after-3")],
        mode="sequence",
        tasks=tasks,
        evaluate={"protocols": ["generate"], "limit": 4, "tasks": "all"},
    )
    results = run(spec)
    ours, folder = record(results, "ours", "3-tasks")
    moments = [(s["stage"], s["after"], s["finished"]) for s in ours["scores"] if s["role"] == "probe"]
    assert moments == [(number, task, True) for number, task in enumerate(tasks)]
    scored = {(s["after"], s["task"]) for s in ours["scores"] if s["role"] == "task"}
    assert scored == {(after, task) for after in tasks for task in tasks}
    for number, task in enumerate(tasks, 1):
        mine = [t for t in texts(folder) if t[0] == "tiny_count"][4 * (number - 1) : 4 * number]
        most = [load_task("tiny_count").max_new_tokens] * 4
        said = answers(out / f"after-{number}", [text["prompt"] for _, text in mine], most)
        assert [text["prediction"] for _, text in mine] == said, task
    last, _ = record(results, "last", "3-tasks")
    assert {score["after"] for score in last["scores"]} == {"all-tasks"}
    done = secura_bench("report", "results", "--table", "continual", "--format", "markdown", cwd=tmp_path)
    assert "| ours |" in done.stdout and "BWT" in done.stdout and "FWT" in done.stdout


def test_a_runs_own_export_scores_as_the_run_did(tmp_path: Path) -> None:
    trained = {"name": "lora", "r": 4, "train": {"lr": 2e-2, "steps": 6, "batch_size": 4}}
    results = run(write(tmp_path / "first", [trained]))
    there, folder = record(results, "lora-r-4")
    for form in ("peft", "merged"):
        done = secura_bench("export", str(folder), form, "--to", form, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    again = run(write(tmp_path / "second", [checkpoint(form, tmp_path / form) for form in ("peft", "merged")]))
    for form in ("peft", "merged"):
        mine, own = record(again, form)
        renamed = {place.replace("-6/", "-0/"): text for place, text in items(folder).items()}
        if form == "peft":
            assert items(own) == renamed
        assert mine["data"] == there["data"] and mine["signatures"] == there["signatures"]
        for score, other in zip(mine["scores"], there["scores"], strict=True):
            ours, theirs = ({k: v or 0.0 for k, v in each["values"].items()} for each in (score, other))
            assert ours == pytest.approx(theirs, rel=1e-4)


def test_killed_and_begun_again_it_ends_the_same(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = [checkpoint("lora", out / "lora"), checkpoint("merged", out / "merged")]
    whole = run(write(tmp_path / "whole", methods))
    from secura_bench.evaluation.prediction_file import PredictionFile

    written = 0
    append = PredictionFile.append

    def dies(self: PredictionFile, batch: Any) -> None:
        nonlocal written
        append(self, batch)
        written += 1
        if written in (3, 12, 20):
            raise KeyboardInterrupt

    monkeypatch.setattr(PredictionFile, "append", dies)
    spec = write(tmp_path / "killed", methods)
    ends = [secura_bench("run", str(spec), "--quiet", cwd=spec.parent).returncode for _ in range(4)]
    assert ends[-1] == 0 and 130 in ends
    for label in ("lora", "merged"):
        (one, first), (other, second) = record(whole, label), record(tmp_path / "killed" / "results" / "trial", label)
        assert items(first) == items(second)
        for key in set(one) - {"cost", "finished_at"}:
            assert one[key] == other[key], key


def test_a_second_spec_computes_nothing_again(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(write(tmp_path, [checkpoint("lora", out / "lora")]))
    monkeypatch.setattr("secura_bench.checkpoints.lend.load_model", None)
    elsewhere = shutil.copytree(out / "lora", tmp_path / "elsewhere")
    results = run(write(tmp_path, [checkpoint("other", elsewhere)]))
    assert items(record(results, "other")[1]) == items(record(results, "lora")[1])


def test_the_identity_is_the_files_content_and_nothing_else(out: Path, tmp_path: Path) -> None:
    from secura_bench.plan.make import make_plan
    from secura_bench.spec.load import load_spec

    def fingerprints(path: Path, **more: Any) -> list[str]:
        spec = write(tmp_path, [checkpoint("lora", path, **more)], seeds=[1, 2, 3], train={"steps": 7, "lr": 0.5})
        return [run.fingerprint for run in make_plan(load_spec(str(spec))).runs[1:]]

    moved = shutil.copytree(out / "lora", tmp_path / "moved")
    (moved / "README.md").write_text("another card")
    (one,) = fingerprints(out / "lora")
    assert fingerprints(moved) == [one]
    config = json.loads((moved / "adapter_config.json").read_text())
    (moved / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 99}))
    assert fingerprints(moved) != [one]
    assert fingerprints(out / "dora") != [one]


def test_it_stands_beside_methods_that_the_bench_trains(out: Path, tmp_path: Path) -> None:
    trained = {"name": "lora", "r": 2, "label": "trained", "train": {"lr": 1e-2, "steps": 2, "batch_size": 2}}
    results = run(write(tmp_path, [trained, checkpoint("ours", out / "lora", title="Ours")], seeds=[1, 2]))
    told, folder = record(results, "ours")
    assert told["method"]["options"] == {
        "path": "lora", "after": None, "template": "base", "files": told["method"]["options"]["files"]
    }  # fmt: skip
    assert told["method"]["train"] == {} and str(out) not in json.dumps(told)
    assert not (folder / "adapter").exists() and len(list(results.glob("tiny-ours-*"))) == 1
    done = secura_bench("report", "results", "--format", "markdown", cwd=tmp_path)
    assert done.returncode == 0 and "| Ours |" in done.stdout and "| trained |" in done.stdout
    out_files = secura_bench("report", "results", "--out", "told", cwd=tmp_path)
    assert out_files.returncode == 0, out_files.stderr
