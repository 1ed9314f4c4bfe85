"""Settings that are said for each task: whose they are, what is refused, and that runs of before keep their names."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from conftest import SPEC, secura_bench

from secura_bench.foundation.errors import SpecError
from secura_bench.plan.make import make_plan
from secura_bench.plan.run import planned_runs
from secura_bench.results.read import read_record
from secura_bench.spec.load import load_run_spec, load_spec
from secura_bench.spec.sections import TrainSpec

THREE = SPEC.replace("[tiny_group]", "[tiny_group, tiny_count, tiny_langid]").replace("steps: 2", "steps: [1, 2, 3]")
ORDERS = ["mode=sequence", "orders=[given, reversed]"]


def spec_of(folder: Path, text: str = THREE) -> str:
    (folder / "each.yaml").write_text(text)
    return str(folder / "each.yaml")


def test_each_task_keeps_its_own_in_any_order(tmp_path: Path) -> None:
    """A list goes by ``tasks`` as the spec has them, and so it does where each task is trained alone."""
    rows = dict.fromkeys(["tiny_group", "tiny_count", "tiny_langid"], 10)
    _, given, backwards = planned_runs(load_spec(spec_of(tmp_path), ORDERS))
    assert (given.steps(rows), backwards.steps(rows)) == ((1, 2, 3), (3, 2, 1))
    _, *alone = planned_runs(load_spec(spec_of(tmp_path)))
    assert [run.steps(rows) for run in alone] == [(1,), (2,), (3,)]


def test_epochs_are_rows_over_the_batch(tmp_path: Path) -> None:
    """Rounded up; they stand for steps and deal the rows, and a method may say either in the other's place."""
    text = THREE.replace("steps: [1, 2, 3]", "epochs: [5, 3, 7]")
    methods = "methods=[seq, {name: lora, train: {steps: 4}}, {name: mtl, train: {epochs: 2}}]"
    spec = load_spec(spec_of(tmp_path, text), ["mode=sequence", "train.batch_size=128", methods])
    rows = dict(zip(spec.task_names, (5000, 5000, 408), strict=True))
    _, seq, lora, mtl = planned_runs(spec)
    assert seq.steps(rows) == (196, 118, 23)
    assert (seq.train.steps, seq.train.sampling) == (None, "epochs")
    assert lora.steps(rows) == (4, 4, 4)
    assert mtl.steps(rows) == (79, 79, 7)
    assert load_spec(spec_of(tmp_path), ["train.steps=null", "train.epochs=2"]).train.sampling == "epochs"


def test_what_all_tasks_have_is_one_value(tmp_path: Path) -> None:
    """So a list of one number is the run that has it anyway, with its name and the published number beside it."""
    spec = load_spec(spec_of(tmp_path, THREE.replace("[1, 2, 3]", "[4, 4, 4]")))
    plain = load_spec(spec_of(tmp_path, THREE.replace("[1, 2, 3]", "4")))
    assert spec.train_of(spec.methods[0]) == plain.train_of(plain.methods[0])
    assert [run.fingerprint for run in make_plan(spec).runs] == [run.fingerprint for run in make_plan(plain).runs]


def test_settings_of_before_are_called_what_they_were() -> None:
    """The hash of the defaults as it was before a task could have its own: it is in every fingerprint there is."""
    said = json.dumps(TrainSpec().model_dump(mode="json"), sort_keys=True)
    assert hashlib.sha256(said.encode()).hexdigest()[:10] == "86535b8dea"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr=[1, 2]", r"train\.lr: 2 values for 3 tasks; give one for each, or one for all"),
        ("train.lr=[1, 2, fast]", r"train\.lr\.2: must be a number \(here: 'fast'\)"),
        ("train.warmup_steps={tiny_group: 1}", r"train\.warmup_steps: has no value for tiny_count, tiny_langid"),
        ("train.lr={tiny_gruop: 1}", r"train\.lr: has no value for"),
        ("train.epochs=[1, 2, 3]", r"train: steps, epochs: one of them says .*\(here: both\)"),
        ("train.steps=null", r"train: steps, epochs: one of them says .*\(here: none of them\)"),
        ("methods=[{name: lora, train: {lr: [1]}}]", r"methods\.0\.train\.lr: 1 value for 3 tasks"),
        ("methods=[{name: lora, train: {epochs: 1, sampling: replacement}}]", r"train: sampling: with replacement"),
        ("methods=[{name: mtl, train: {lr: [1, 2, 3]}}]", r"methods\.0\.train\.lr: mtl trains all tasks at once"),
        ("tune={grid: {train.lr: [1, 2]}, on: train, choose: best}", r"tune: steps: 'train' says none that all"),
        ("tune={grid: {train.lr: [[1], 2]}, on: train, steps: 1, choose: best}", r"tune\.grid: train\.lr: a grid has"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(spec_of(tmp_path), [override])
    assert re.search(message, str(error.value)), error.value
    assert "--set" in str(error.value) or f"{tmp_path / 'each.yaml'}:8" in str(error.value)


def test_trials_on_another_task_need_one_value_for_all(tmp_path: Path) -> None:
    """Unless the grid itself says what each task had of its own."""
    text = THREE.replace("lr: 1.0e-3", "lr: [1.0e-3, 1.0e-4, 1.0e-5]")
    tune = "tune={{grid: {{{}: [0.1, 0.2]}}, on: tiny_translate, steps: 1, choose: best}}"
    with pytest.raises(
        SpecError, match=r"tune\.on: tiny_translate is none of the tasks that 'train' has values for: lr"
    ):
        load_spec(spec_of(tmp_path, text), [tune.format("train.weight_decay")])
    assert load_spec(spec_of(tmp_path, text), [tune.format("train.lr")]).tune


def test_a_run_trains_each_task_as_it_says(tmp_path: Path) -> None:
    """Steps and rates are in the log, the record says whose they are, and its spec is the same run again."""
    path = spec_of(tmp_path, THREE.replace("lr: 1.0e-3", "lr: [1.0e-3, 0, 1.0e-5]"))
    small = [*ORDERS[:1], "orders=reversed", "evaluate.limit=1", "evaluate.protocols=teacher_forced", "probe_rows=3"]
    words = [word for override in small for word in ("--set", override)]
    done = secura_bench("run", path, "--quiet", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (record.parent for record in tmp_path.rglob("record.json") if "lora" in record.parent.name)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    steps = [(line["task"], line["lr"]) for line in lines if "lr" in line]
    assert steps == [("tiny_langid", 1e-5)] * 3 + [("tiny_count", 0.0)] * 2 + [("tiny_group", 1e-3)]
    record = read_record(folder / "record.json")
    assert record.method["train"]["steps"] == {"tiny_group": 1, "tiny_count": 2, "tiny_langid": 3}
    again = make_plan(load_run_spec(folder / "spec.yaml"))
    assert folder.name.rpartition("-")[2] == again.runs[-1].fingerprint
