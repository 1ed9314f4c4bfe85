"""Probes of lm-evaluation-harness's tasks as a spec spells them; none of it needs the harness."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import SPEC

from secura_bench.foundation.errors import SpecError
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.load import load_run_spec, load_spec
from secura_bench.spec.probe import Suite


def spec_with(folder: Path, probe: str, rows: str = "6") -> ExperimentSpec:
    path = folder / "spec.yaml"
    path.write_text(
        SPEC.replace("probe: tiny_f_task", f"probe: {probe}").replace("probe_rows: 6", f"probe_rows: {rows}")
    )
    return load_spec(str(path))


def test_a_probe_may_be_of_both_kinds(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    spec = spec_with(
        tmp_path, "[tiny_f_task, lm_eval:arc_easy, {lm_eval: [a, b], num_fewshot: 5, limit: 200, include_path: own}]"
    )
    own = str((tmp_path / "own").resolve())
    assert spec.suites == (Suite("arc_easy"), Suite("a", 5, 200, own), Suite("b", 5, 200, own))
    assert spec.own_parts == ("tiny_arith", "tiny_choice", "tiny_code")
    assert spec.probe_parts == (*spec.own_parts, "lm_eval:arc_easy", "lm_eval:a", "lm_eval:b")
    assert spec.probe_name == "tiny_f_task + lm_eval:arc_easy + lm_eval:a + lm_eval:b"
    assert spec.protocols == ("teacher_forced", "generate", "lm_eval")


def test_the_harness_alone(tmp_path: Path) -> None:
    for written in ("lm_eval:hellaswag", "{lm_eval: hellaswag}", "[lm_eval:hellaswag]"):
        spec = spec_with(tmp_path, written, "null")
        assert spec.suites == (Suite("hellaswag"),) and spec.own_parts == ()


def test_a_probe_of_the_bench_is_what_it_was(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, "tiny_f_task")
    assert spec.probe_name == spec.model_dump(mode="json")["probe"] == "tiny_f_task"
    assert spec.protocols == spec.evaluate.protocols


def test_a_resolved_spec_says_the_same_again(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, "[tiny_f_task, {lm_eval: [a, b], num_fewshot: 0}]")
    whole = spec.model_dump(mode="json")
    assert whole["probe"] == ["tiny_f_task", {"lm_eval": ["a", "b"], "num_fewshot": 0}]
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(whole))
    assert load_run_spec(tmp_path / "again.yaml") == spec


@pytest.mark.parametrize(
    ("probe", "rows", "said"),
    [
        ("[tiny_f_task, {lm_eval: [a], num_shots: 5}]", "6", "probe.1.num_shots: unknown key.*num_fewshot"),
        ("[tiny_f_task, {lm_eval: [../a]}]", "6", "probe.1.lm_eval.0: "),
        ("[lm_eval:a, {lm_eval: [a], limit: 3}]", "null", "probe: a task stands here twice"),
        ("lm_eval:a", "6", "probe_rows: 6 is for tasks of the bench"),
        ("{lm_eval: a, include_path: nowhere}", "null", "nowhere: no such folder"),
        ("[5]", "6", "probe.0: input should be a valid string"),
        ("[lm_evil:a]", "6", "probe: unknown task 'lm_evil:a'"),
    ],
)
def test_what_cannot_be_a_probe_is_said_with_file_line_and_key(tmp_path: Path, probe: str, rows: str, said: str):
    with pytest.raises(SpecError, match=said) as error:
        spec_with(tmp_path, probe, rows)
    assert str(error.value).startswith(f"{tmp_path / 'spec.yaml'}:")


def test_the_protocol_is_asked_for_by_what_the_probe_names(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("[teacher_forced, generate]", "[teacher_forced, lm_eval]"))
    with pytest.raises(SpecError, match="unknown value 'lm_eval'"):
        load_spec(str(tmp_path / "spec.yaml"))
