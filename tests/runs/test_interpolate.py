"""A run scored between the base's weights and its own, and starts that are scored once for all that start alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import secura_bench
from interrupted import SEQUENCE

from secura_bench.evaluation.prediction_file import PredictionFile
from secura_bench.foundation.errors import SpecError
from secura_bench.plan.make import Plan, make_plan
from secura_bench.plan.phases import work_units
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs
from secura_bench.results.folder import RunFolder, items_file
from secura_bench.results.record import RunRecord
from secura_bench.runs.one_run import do_run
from secura_bench.runs.progress.events import NoProgress, RunActivity
from secura_bench.runs.stopping import Stop
from secura_bench.spec.load import load_spec

ALPHAS = [0, 0.5, 1.0]


def plan(folder: Path, methods: list[Any], alphas: list[float] = ALPHAS, **changes: Any) -> Plan:
    folder.mkdir(exist_ok=True)
    spec = yaml.safe_load(SEQUENCE) | {"methods": methods} | changes
    spec["evaluate"] |= {"interpolate": alphas, "every": None}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return make_plan(load_spec(str(folder / "spec.yaml")))


def do(made: Plan, number: int, results: Path, progress: Any = None) -> tuple[RunRecord, Path]:
    folder = RunFolder(results / made.runs[number].folder)
    return do_run(made.runs[number], made.inputs, folder, progress or NoProgress(), Stop()), folder.path


@pytest.fixture
def rows_scored(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return how many predictions were made since one last asked."""
    made: list[int] = []
    inner = PredictionFile.append
    monkeypatch.setattr(PredictionFile, "append", lambda self, batch: made.append(len(batch)) or inner(self, batch))

    def since() -> int:
        count = sum(made)
        made.clear()
        return count

    return since


class Counted(NoProgress):
    """Sums what is done."""

    units = 0.0

    def advance(self, units: float, at: RunActivity) -> None:
        self.units += units


class KilledWhileScoring(NoProgress):
    """Ends the process's run at the n-th batch that is scored after the end was."""

    def __init__(self, tasks: int, batches: int) -> None:
        self.ends, self.left = tasks, batches

    def scored(self, score: Any) -> None:
        self.ends -= score.role == "probe" and score.finished

    def advance(self, units: float, at: RunActivity) -> None:
        if self.ends == 0 and at.activity.startswith("scoring"):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


@pytest.mark.parametrize("method", [{"name": "lora", "r": 2}, "seq"])
def test_one_run_is_several_arms(method: Any, tmp_path: Path, rows_scored: Callable[[], int]) -> None:
    made = plan(tmp_path, [method])
    do(made, 0, tmp_path / "results")
    rows_scored()
    progress = Counted()
    record, folder = do(made, 1, tmp_path / "results", progress)
    assert progress.units == pytest.approx(work_units(made.runs[1], made.inputs), abs=0.5), "the plan counts it all"
    end = 6 + 2 * 3  # rows of the probe and both tasks
    assert rows_scored() == (6 + 3) + end + 2 * end, "α = 1 is the end itself"
    runs = {run.record.method["label"]: run for run in read_runs([tmp_path / "results"]).runs}
    label = record.method["label"]
    assert set(runs) == {"base", label, *(f"{label}-interpolate-{a}" for a in (0.0, 0.5, 1.0))}
    assert runs[label].record == record
    for alpha, twin in ((0.0, "base"), (1.0, label)):
        arm = runs[f"{label}-interpolate-{alpha}"]
        assert arm.record.method["tuned"] == {
            "family": label,
            "settings": {"interpolate": alpha},
            "choose": "frontier",
        }
        for role, task in (("probe", "tiny_f_task"), ("task", "tiny_group"), ("task", "tiny_count")):
            ours, theirs = (run.score("teacher_forced", role, task, "end") for run in (arm, runs[twin]))
            assert ours and theirs and ours.values == theirs.values
            for file in [("tiny_arith", "tiny_choice", "tiny_code"), (None,)][role == "task"]:
                assert arm.file(ours, file).read_text() == runs[twin].file(theirs, file).read_text(), "bit for bit"
    between = runs[f"{label}-interpolate-0.5"]
    losses = [
        runs[name].score("teacher_forced", "task", "tiny_count", "end").values["loss"]
        for name in (label, between.record.method["label"], "base")
    ]
    assert len(set(losses)) == 3
    assert between.record.cost == record.cost and list(between.log()) == []
    (study,) = make_studies(runs.values())
    assert len(study.arms) == 4
    for each in record.interpolated:
        assert all((folder / items_file(score)).is_file() for score in each.scores if score.role != "probe")


def test_killed_between_it_goes_on_to_the_same(tmp_path: Path, rows_scored: Callable[[], int]) -> None:
    made = plan(tmp_path, [{"name": "secura", "r": 4, "m": 6}], [0.5, 0.25])
    whole, _ = do(made, 1, tmp_path / "peace")
    rows_scored()
    with pytest.raises(KeyboardInterrupt):
        do(made, 1, tmp_path / "killed", KilledWhileScoring(2, 10))
    before = rows_scored()
    resumed, _ = do(made, 1, tmp_path / "killed")
    assert rows_scored() + before == 12 + (6 + 3) + 3 * 12, "nothing is scored twice"
    left_out = {"cost", "finished_at"}
    assert resumed.model_dump(exclude=left_out) == whole.model_dump(exclude=left_out)


def test_a_run_without_is_called_as_ever_and_its_record_has_no_key(tmp_path: Path) -> None:
    without, with_ = (plan(tmp_path, ["seq"], alphas) for alphas in ([], [0.5]))
    assert without.runs[0].fingerprint == with_.runs[0].fingerprint
    assert without.runs[1].fingerprint != with_.runs[1].fingerprint
    _, folder = do(without, 1, tmp_path / "results")
    assert "interpolated" not in json.loads((folder / "record.json").read_text())


@pytest.mark.parametrize(
    ("methods", "alphas", "said"),
    [
        ([{"name": "secura", "r": 4, "m": 6, "signorm": "public_code"}], ALPHAS, "evaluate.interpolate: with signorm"),
        (["lora"], [1.5], "less than or equal to 1"),
        (["lora"], [0.5, 0.5], "0.5 stands here twice"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_spec(methods: Any, alphas: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=said):
        plan(tmp_path, methods, alphas)


def test_a_start_is_scored_once_for_all_runs_that_start_alike(tmp_path: Path, rows_scored: Callable[[], int]) -> None:
    secura = {"name": "secura", "r": 4, "m": 6}
    other = {**secura, "label": "other", "train": {"lr": 3.0e-3, "steps": 2}}
    third = {**secura, "label": "third", "scale": 4.0}
    made = plan(
        tmp_path,
        [secura, other, third],
        [],
        mode="separate",
        tasks=["tiny_group", "tiny_count"],
        train={"steps": 1, "batch_size": 2},
    )
    runs = {run.name: number for number, run in enumerate(made.runs)}
    alone = {}
    for name, number in runs.items():
        if "base" not in name:
            alone[name] = do(made, number, tmp_path / name)[0].scores
    rows_scored()
    start, end = [], 6 + 3
    for name, number in runs.items():
        if "base" in name:
            continue
        record, _ = do(made, number, tmp_path / "together")
        assert record.scores == alone[name]
        start.append(rows_scored() - end)
    assert start == [6 + 3, 3, 0, 0, 6 + 3, 3]


def test_starts_that_are_drawn_are_shared_by_no_other_seed(tmp_path: Path, rows_scored: Callable[[], int]) -> None:
    drawn = {"name": "lora", "r": 2, "init_lora_weights": False}
    made = plan(tmp_path, [drawn], [], mode="separate", tasks=["tiny_group"], seeds=[1, 2], train={"steps": 1})
    starts = []
    for number in (1, 2):
        starts.append(do(made, number, tmp_path / "results")[0].scores[0])
        assert rows_scored() == 2 * (6 + 3)
    assert starts[0].values != starts[1].values
    assert secura_bench("run", "spec.yaml", "--quiet", "--force", cwd=tmp_path).returncode == 0
    assert rows_scored() == 9 + 2 * 2 * 9, "--force scores them anew"
