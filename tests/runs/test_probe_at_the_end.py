"""`evaluate.probe: last`: the probe is scored once a run, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import secura_bench

from secura_bench.estimates.formulas import work_of
from secura_bench.estimates.reads import Reads
from secura_bench.estimates.rows import Rows
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.plan.make import make_plan
from secura_bench.plan.phases import work_units
from secura_bench.spec.load import load_spec

SPEC: dict[str, Any] = {
    "experiment": "trial",
    "mode": "sequence",
    "model": "tiny",
    "tasks": ["tiny_group", "tiny_count"],
    "probe": "tiny_f_task",
    "probe_rows": 6,
    "methods": ["base", {"name": "lora", "r": 2}, {"name": "secura", "r": 2}],
    "train": {"steps": 3, "lr": 1.0e-2, "batch_size": 2},
    "evaluate": {"protocols": ["teacher_forced"], "limit": 3, "tasks": "current"},
    "threads": 1,
}


def spec_of(folder: Path, probe: str, **more: Any) -> Path:
    folder.mkdir()
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({**SPEC, "evaluate": {**SPEC["evaluate"], "probe": probe, **more}}))
    return path


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the records of both kinds, by kind and method."""
    found = {}
    for kind in ("each", "last"):
        spec = spec_of(tmp_path_factory.mktemp("probe") / kind, kind)
        assert secura_bench("run", "spec.yaml", "--quiet", cwd=spec.parent).returncode == 0
        for path in spec.parent.glob("results/*/*/record.json"):
            record = json.loads(path.read_text())
            found[kind, record["method"]["name"]] = record
    return found


def test_the_probe_is_scored_at_the_end_alone_and_as_ever(records: dict[tuple[str, str], dict[str, Any]]) -> None:
    for method in ("lora", "secura"):
        each, last = (records[kind, method]["scores"] for kind in ("each", "last"))
        probed = [(score["after"], score["finished"]) for score in last if score["role"] == "probe"]
        assert probed == [("tiny_count", True)]
        assert {score["after"] for score in each if score["role"] == "probe"} >= {"tiny_group", "tiny_count"}
        assert last == [s for s in each if s["role"] == "task" or s["after"] == "tiny_count"], "the same numbers"
    assert any(score["role"] == "probe" for score in records["last", "base"]["scores"])


def test_it_is_another_run_but_for_the_base(records: dict[tuple[str, str], dict[str, Any]]) -> None:
    names = {key: record["fingerprint"] for key, record in records.items()}
    assert names["each", "lora"] != names["last", "lora"] and names["each", "base"] == names["last", "base"]


@pytest.mark.parametrize("probe", ["each", "last"])
def test_plans_and_progress_count_what_is_scored(
    records: dict[tuple[str, str], dict[str, Any]], tmp_path: Path, probe: str
) -> None:
    spec = load_spec(str(spec_of(tmp_path / probe, probe)))
    once = {name: {"teacher_forced": Reads(n)} for name, n in (("probe", 6), ("tiny_group", 3), ("tiny_count", 3))}
    rows = Rows(6, dict.fromkeys(spec.task_names, Reads(1)), probing=once["probe"], testing=once)
    units = {run.method.name: work_units(run, plan.inputs_of(run)) for plan in [make_plan(spec)] for run in plan.runs}
    for method in ("lora", "secura"):
        scored = sum(s["n"] for s in records[probe, method]["scores"] if s["role"] != "part")
        work = work_of(spec, build_method(method).footprint(), spec.train, dict.fromkeys(spec.task_names, 3), rows)
        assert work.scored["teacher_forced"].rows == scored
    scored = [
        sum(s["n"] for s in records[probe, method]["scores"] if s["role"] != "part") for method in ("secura", "lora")
    ]
    assert units["secura"] - units["lora"] == scored[0] - scored[1], "they train alike"


def test_within_tasks_and_at_the_end_alone_is_no_wish(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"evaluate: every: scores the probe within tasks.* say one of both"):
        load_spec(str(spec_of(tmp_path / "both", "last", every=2)))
