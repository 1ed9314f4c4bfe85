"""A spec's checkpoints: where their paths start, and one for each task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SPEC, secura_bench

from secura_bench.foundation.errors import SpecError
from secura_bench.plan.run import planned_runs
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.load import load_run_spec, load_spec

TASKS = ["tiny_group", "tiny_count"]


def write(folder: Path, entry: dict[str, Any], **changes: Any) -> str:
    methods = [{"name": "checkpoint", "label": "ours", **entry}]
    text = yaml.safe_dump({**yaml.safe_load(SPEC), "mode": "sequence", "tasks": TASKS, "methods": methods, **changes})
    (folder / "spec.yaml").write_text(text)
    return str(folder / "spec.yaml")


def load(folder: Path, entry: dict[str, Any], **changes: Any) -> ExperimentSpec:
    return load_spec(write(folder, entry, **changes))


def test_a_path_starts_at_the_specs_folder_then_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, here = tmp_path / "specs", tmp_path / "here"
    for folder in (beside / "out" / "a", here / "out" / "a", here / "out" / "b"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    (method,) = load(beside, {"path": "out/a"}).methods
    assert method.options["path"] == str(beside / "out" / "a")
    (method,) = load(beside, {"after": {"tiny_group": "out/b", "tiny_count": "org/on-the-hub"}}).methods
    assert method.options["after"] == {"tiny_group": str(here / "out" / "b"), "tiny_count": "org/on-the-hub"}


def test_what_a_run_writes_down_names_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "out").mkdir()
    spec = load(tmp_path, {"path": "out"})
    resolved = planned_runs(spec)[1].resolved()
    assert resolved["methods"] == [{"name": "checkpoint", "label": "ours", "path": "~/out"}]
    (tmp_path / "resolved.yaml").write_text(yaml.safe_dump(resolved))
    assert load_run_spec(tmp_path / "resolved.yaml").methods == spec.methods


@pytest.mark.parametrize(
    ("entry", "changes", "said"),
    [
        ({}, {}, "either a 'path', or 'after'"),
        ({"path": "a", "after": {"tiny_group": "b"}}, {}, "either a 'path', or 'after'"),
        ({"after": {"tiny_group": "a"}}, {}, "after: has no checkpoint for tiny_count"),
        ({"after": {"tiny_group": "a", "tiny_cuont": "b"}}, {}, "Did you mean 'tiny_count'?"),
        ({"after": dict.fromkeys(TASKS, "a")}, {"orders": ["given", "reversed"]}, "came of one order of tasks"),
        ({"path": "a", "template": "mine"}, {}, "template"),
        ({"path": "a", "train": {"precision": "bf16"}}, {}, "was trained elsewhere"),
    ],
)
def test_what_makes_no_sense_is_refused_by_line(
    tmp_path: Path, entry: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError) as error:
        load(tmp_path, entry, **changes)
    assert said in str(error.value) and "spec.yaml:" in str(error.value) and "\n" not in str(error.value)


def test_there_is_one_run_whatever_the_seeds(tmp_path: Path) -> None:
    spec = load(tmp_path, {"path": "a"}, seeds=[1, 2, 3], orders=["given", "reversed"])
    assert [(run.seed, run.tasks) for run in planned_runs(spec)[1:]] == [(1, tuple(TASKS)), (1, tuple(TASKS[::-1]))]
    with pytest.raises(SpecError, match="cannot be stacked"):
        load(tmp_path, {}, methods=[{"stack": ["lora", {"name": "checkpoint", "path": "a"}]}])


def test_validate_looks_whether_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for path, code, said in (
        ("org/on-the-hub", 0, "3 runs of 1 method on"),
        ("out", 2, "holds neither"),
        ("o", 2, "no "),
    ):
        path = str(tmp_path / path) if path == "out" else path
        done = secura_bench("validate", write(tmp_path, {"path": path}, mode="separate"), cwd=tmp_path)
        assert done.returncode == code and said in done.stdout + done.stderr, done
        assert code == 0 or "spec.yaml:" in done.stderr


def test_a_matrix_multiplies_what_is_trained_here_alone(tmp_path: Path) -> None:
    entries = [{"name": "checkpoint", "label": "ours", "path": "a"}, {"name": "lora", "label": "lora"}]
    spec = load(tmp_path, {}, methods=entries, matrix={"train.lr": [1.0e-3, 1.0e-4]})
    assert [method.label for method in spec.methods] == ["ours", "lora-lr-0.001", "lora-lr-0.0001"]
