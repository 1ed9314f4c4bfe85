"""Texts written by another engine, from a run's model as it is scored: compared first, noted, and refused where not."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import SPEC
from vllm_box import LLM, open_box

from secura_bench.evaluation.vllm_engine import missing_engine
from secura_bench.foundation.errors import BenchError, SpecError
from secura_bench.plan.make import Plan, make_plan
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs
from secura_bench.results.folder import RunFolder
from secura_bench.results.record import RunRecord
from secura_bench.runs.one_run import do_run
from secura_bench.runs.progress.events import NoProgress
from secura_bench.runs.stopping import Stop, Stopped
from secura_bench.spec.load import load_spec
from secura_bench.spec.sections import EvaluateSpec

VLLM = {"engine": "vllm"}
LORA = {"name": "lora", "r": 2, "boundary": "continue"}


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> type[LLM]:
    return open_box(monkeypatch)


def plan(folder: Path, methods: list[Any], evaluate: dict[str, Any] | None = None, **changes: Any) -> Plan:
    spec = yaml.safe_load(SPEC) | {"methods": methods, "probe": "tiny_choice", "probe_rows": 4} | changes
    spec["evaluate"] = {"protocols": ["choice", "generate"], "limit": 2, **(evaluate or {})}
    spec["train"]["lr"] = 0.02
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return make_plan(load_spec(str(folder / "spec.yaml")))


def do(made: Plan, number: int, results: Path, stop: Stop | None = None) -> tuple[RunRecord, Path]:
    folder = RunFolder(results / made.runs[number].folder)
    return do_run(made.runs[number], made.inputs, folder, NoProgress(), stop or Stop()), folder.path


def items(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.glob("evals/**/*.json*"))}


@pytest.mark.parametrize(
    ("method", "forms"),
    [("base", ["folder"]), (LORA, ["adapter"]), ({"name": "secura", "r": 8, "m": 16}, ["weights", "weights"])],
    ids=["base", "lora", "secura"],
)
def test_the_texts_are_those_of_the_bench(method: Any, forms: list[str], tmp_path: Path, box: type[LLM]) -> None:
    found = {}
    for engine in ("transformers", "vllm"):
        made = plan(tmp_path, [method], {"engine": engine})
        found[engine] = do(made, len(made.runs) - 1, tmp_path / engine)
    (ours, mine), (record, theirs) = found["transformers"], found["vllm"]
    assert items(mine) == items(theirs) and any("generate" in name for name in items(theirs))
    assert ours.scores == record.scores and ours.fingerprint != record.fingerprint
    assert ours.engine is None and "engine" not in json.loads((mine / "record.json").read_text())
    note = record.engine
    assert note and (note["name"], note["version"]) == ("vllm", "0.0-box")
    texts = sum(each["texts"] for each in note["compared"])
    assert texts == sum(each["same"] for each in note["compared"]) > 0
    assert f"vLLM 0.0-box wrote the texts: of {texts} that the bench wrote too, {texts} are the same" in record.notes
    assert [each["form"] for each in note["compared"]] == forms
    assert box.open == 0 and not (theirs / "engine").exists()
    assert all(made["dtype"] == "float32" and made["kv_cache_memory_bytes"] for made in box.made)
    assert all({signal.SIGINT, signal.SIGTERM} <= made["blocked"] for made in box.made), "the run ends it itself"
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}


def test_an_engine_that_writes_something_else_is_refused(
    tmp_path: Path, box: type[LLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(tmp_path, ["base"], VLLM)
    monkeypatch.setattr(box, "wrong", 2)
    with pytest.raises(SpecError, match=r"3 of 6 texts are what .* and 6 have to be, in fp32; take engine"):
        do(made, 0, tmp_path / "results")
    assert box.open == 0
    monkeypatch.setattr(box, "wrong", 0)
    record, _ = do(made, 0, tmp_path / "results")
    assert record.engine and record.engine["compared"][0]["same"] == 6, "and nothing that it wrote was kept"


def test_stopped_or_killed_it_goes_on_to_the_same(
    tmp_path: Path, box: type[LLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(tmp_path, [LORA], VLLM)
    whole, _ = do(made, 1, tmp_path / "peace")
    stop, generate, calls = Stop(), box.generate, []

    def dies(self: LLM, *args: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            stop.signal = 15  # as Ctrl-C ends the engine's process too
            raise RuntimeError("engine core died")
        return generate(self, *args, **named)

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(box, "generate", dies)
        do(made, 1, tmp_path / "stopped", stop)
    resumed, _ = do(made, 1, tmp_path / "stopped")
    left_out = {"cost", "finished_at"}
    assert resumed.model_dump(exclude=left_out) == whole.model_dump(exclude=left_out)


def test_tables_hold_no_texts_of_one_engine_against_the_others(tmp_path: Path, box: type[LLM]) -> None:
    for engine in ("transformers", "vllm"):
        do(plan(tmp_path, ["base"], {"engine": engine}), 0, tmp_path / "results")
    studies = make_studies(read_runs([tmp_path / "results"]).runs)
    assert {study.apart for study in studies} == {"texts by the bench", "texts by vllm"}


@pytest.mark.parametrize(
    ("changes", "evaluate", "said"),
    [
        ({}, {"protocols": ["choice"]}, "none of evaluate.protocols asks for texts; add generate"),
        ({}, {"interpolate": [0.5]}, "leave it out, or take engine: transformers"),
        ({"train": {"shard": "full", "steps": 1}}, {}, "leave train.shard out"),
        ({"methods": [{"name": "secura", "r": 8, "m": 16, "signorm": "public_code"}]}, {}, "have no weight"),
    ],
)
def test_what_cannot_be_is_refused(
    changes: dict[str, Any], evaluate: dict[str, Any], said: str, tmp_path: Path
) -> None:
    methods = changes.pop("methods", ["seq"])
    with pytest.raises(SpecError, match=said):
        plan(tmp_path, methods, VLLM | evaluate, **changes)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_engine(EvaluateSpec()) is None
    monkeypatch.setattr("secura_bench.evaluation.vllm_engine.find_spec", lambda name: None)
    assert "pip install 'secura-bench[vllm]'" in (missing_engine(EvaluateSpec(engine="vllm")) or "")
    monkeypatch.undo()
    open_box(monkeypatch, cpu=False)
    assert "needs a CUDA device" in (missing_engine(EvaluateSpec(engine="vllm")) or "")


def test_what_vllm_says_is_told_in_one_line(tmp_path: Path, box: type[LLM], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(self: LLM, *args: Any, **named: Any) -> None:
        raise ValueError("Model architectures ['Odd'] are not supported for now.\nMore of it.")

    monkeypatch.setattr(box, "__init__", refuses)
    with pytest.raises(BenchError) as error:
        do(plan(tmp_path, ["base"], VLLM), 0, tmp_path / "results")
    assert str(error.value) == (
        "evaluate.engine: vllm: ValueError: Model architectures ['Odd'] are not supported for now; take engine: "
        "transformers."
    )


def test_a_gpus_share_is_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    from secura_bench.evaluation import vllm_engine

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (42 * 2**30, 80 * 2**30))
    assert vllm_engine._memory() == {"gpu_memory_utilization": 0.5}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**30, 80 * 2**30))
    with pytest.raises(SpecError, match=r"1\.0 GiB are free beside the model"):
        vllm_engine._memory()
