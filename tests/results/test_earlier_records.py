"""Records of runs from before an option was there say what those runs did, and are no runs of today's default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from synthetic import CHARACTERS, write_records

from secura_bench.foundation.registry import METHODS
from secura_bench.methods.build import build_method
from secura_bench.plan.fingerprint import resolved_options
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs
from secura_bench.results.read import read_record
from secura_bench.results.record import EARLIER
from secura_bench.spec.method import MethodSpec

OLD: dict[str, dict[str, Any]] = {
    "er": {"name": "er", "options": {"ratio": 1.0}},
    "stack": {"name": "stack", "options": {"parts": [{"name": "lora"}, {"name": "er", "ratio": 0.5}]}},
}


def as_method(path: Path, method: dict[str, Any]) -> None:
    record = json.loads(path.read_text())
    record["method"] |= {"label": "mine", **method}
    path.write_text(json.dumps(record))


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, list[Path]]:
    """Return the folder of two runs of one method, with seeds of their own, and their records."""
    write_records(tmp_path, {"seq": CHARACTERS["seq"]}, seeds=(1, 2))
    return tmp_path, sorted(tmp_path.glob("trial/seq-*/record.json"))


@pytest.mark.parametrize("name", OLD)
def test_an_earlier_run_is_no_run_of_todays_default(two: tuple[Path, list[Path]], name: str) -> None:
    root, (old, new) = two
    as_method(old, OLD[name])
    options = {key: value for key, value in OLD[name]["options"].items() if key != "parts"}
    parts = {"parts": OLD[name]["options"]["parts"]} if name == "stack" else {}
    today = build_method(name, **options, **parts).options.model_dump(mode="json")
    as_method(new, {"name": name, "options": today})
    assert json.dumps(read_record(old).method["options"]).count('"loss": "halves"') == 1
    assert json.dumps(read_record(new).method["options"]).count('"loss": "tokens"') == 1
    (study,) = make_studies(read_runs([root])[0])
    assert len(study.arms) == 2 and len({arm.method for arm in study.arms}) == 2


@pytest.mark.parametrize("name", OLD)
def test_an_earlier_run_is_one_of_what_it_did(two: tuple[Path, list[Path]], name: str) -> None:
    root, (old, new) = two
    as_method(old, OLD[name])
    as_method(new, {"name": name, "options": read_record(old).method["options"]})
    (study,) = make_studies(read_runs([root])[0])
    (arm,) = study.arms
    assert arm.method == "mine" and len(arm.runs) == 2


def test_what_earlier_runs_did_is_an_option_still() -> None:
    for name, options in EARLIER.items():
        for key, value in options.items():
            assert build_method(name, **options).options.model_dump()[key] == value
            assert METHODS.get(name).Options.model_fields[key].default != value


@pytest.mark.parametrize("method", [{"name": "er"}, {"name": "stack", "options": {"parts": ["lora", "er"]}}])
def test_the_option_is_in_a_runs_fingerprint(method: dict[str, Any]) -> None:
    assert '"loss": "tokens"' in json.dumps(resolved_options(MethodSpec(label="mine", **method)))


def test_the_records_that_ship_are_of_the_earlier_loss() -> None:
    found = [read_record(path) for path in (ROOT / "results" / "exp3").glob("*er-swept*/record.json")]
    assert len(found) == 2 and all('"loss": "halves"' in json.dumps(record.method["options"]) for record in found)
