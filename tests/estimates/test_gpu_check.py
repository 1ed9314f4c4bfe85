"""gpu-check itself, without a GPU: bounds, what is left out, parts that crash, and files that a kill leaves whole."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import gpu_check
import gpu_memory
import gpu_page
import gpu_runs


def run_of(loss: float, texts: list[str], start: bool = False, **changes: Any) -> dict[str, Any]:
    """Return a run with a score after a task, and before the first step too where that is asked for."""
    score = {"stage": int(start), "after": "a", "step": 8, "role": "task", "protocol": "teacher_forced", "task": "a"}
    scores = [{**score, "values": {"loss": loss, "accuracy": 50.0}}]
    if start:
        scores.insert(0, {**score, "stage": 0, "after": None, "step": 0, "values": {"loss": 9.0, "accuracy": 0.0}})
    cost = {"device": "cuda", "train_seconds": 1.0, "peak_memory": 1}
    return {"scores": scores, "texts": {"a-8/generate/task/a": texts}, "status": "done", "cost": cost, **changes}


@pytest.mark.parametrize(
    ("ours", "within"),
    [
        (run_of(1.02, ["x", "y"]), True),
        (run_of(1.02, ["x", "y"], start=True), True),  # a start that the other does not score
        (run_of(1.10, ["x", "y"]), False),
        (run_of(0.90, ["x", "y"]), False),
        (run_of(1.0, ["x", "z"]), False),
        (run_of(1.0, ["x", "y"], status="diverged"), False),
        (run_of(1.0, []), False),  # nothing was compared
    ],
)
def test_runs_are_held_to_their_bounds(ours: Any, within: bool) -> None:
    theirs = run_of(1.0, ["x", "y"][: len(ours["texts"]["a-8/generate/task/a"])])
    assert gpu_runs.compared(ours, theirs, {"loss": 0.03, "text": 0.8})["within"] == within


def test_every_registered_method_is_run() -> None:
    from secura_bench.foundation.registry import METHODS

    assert not [
        name
        for name in METHODS.names()
        if f"name: {name}" not in gpu_runs.SPEC and name not in ("base", "stack", "checkpoint", "head_only")
    ]  # fmt: skip - the last two load what others trained, and train no tensor of the model
    assert "- base" in gpu_runs.SPEC and "stack:" in gpu_runs.SPEC


def test_forecasts_are_the_plans_own_for_a_gpu() -> None:
    """Llama 3 in LoRA: 8,030,261,248 frozen scalars of 2 bytes, 3,407,872 trained ones of 4 and a bf16 copy."""
    found = gpu_memory.forecast(gpu_memory.point("lora", "llama3-8b"))
    assert found["weights"] == 2 * 8_030_261_248 + 6 * 3_407_872
    assert found["optimizer"] == 8 * 3_407_872
    assert found["total"] > found["weights"] + found["process"]


def test_all_points_have_a_forecast_and_a_name_of_their_own() -> None:
    assert len({point.name for point in gpu_memory.POINTS}) == len(gpu_memory.POINTS)
    for point in gpu_memory.POINTS:
        assert 0 < gpu_memory.forecast(point)["total"] < 80e9


CHILD = """\
import os, sys
sys.path.insert(0, {scripts!r})
import gpu_check

def results(part, deadline, device, after):
    if part == "memory":
        yield from [{{"name": "first", "within": True}}, {{"name": "second", "error": "broke"}}, {{"name": "third"}}][
            after : max(2, after + 1)]
    elif part == "tests":
        yield {{"name": "one", "outcome": "passed", "seconds": 1.0, "within": True}}
        print("what it said last", flush=True)
        os._exit(7)
    elif part == "speed":
        raise ValueError("of no use")
    elif part == "environment":
        yield {{"name": "here", "matmul": 1e12}}

gpu_check.results = results
gpu_check.main()
"""


@pytest.fixture
def found(tmp_path: Path, monkeypatch: Any) -> Any:
    """Return a function that does the check with parts that fail in every way."""
    child = tmp_path / "child.py"
    child.write_text(CHILD.format(scripts=str(ROOT / "scripts")))
    monkeypatch.setattr(gpu_check, "__file__", str(child))
    return lambda budget: (gpu_check.check(budget, tmp_path, "cpu"), tmp_path)


def test_a_part_that_fails_leaves_the_others_and_says_why(found: Any) -> None:
    whole, out = found(400.0)
    results = {name: part["results"] for name, part in whole["parts"].items()}
    assert [result["name"] for result in results["memory"]] == ["first", "second", "third"]  # it is taken up again
    assert results["tests"][0]["within"]
    assert "exit code 7" in results["tests"][1]["error"] and "what it said last" in results["tests"][1]["error"]
    assert "ValueError: of no use" in results["speed"][0]["error"]
    assert json.loads((out / gpu_page.DATA).read_text()) == whole
    page = (out / gpu_page.PAGE).read_text()
    assert "what it said last" in page and "## Speed" in page
    assert gpu_page.is_bad(whole) and "3 failed" in gpu_page.summary(whole)


def test_what_there_is_no_time_for_is_said(found: Any) -> None:
    whole, out = found(1.0)
    verdicts = {gpu_page.verdict(result) for part in whole["parts"].values() for result in part["results"]}
    assert verdicts == {"skipped"} and not gpu_page.is_bad(whole)
    assert "left out: memory: no time left" in (out / gpu_page.PAGE).read_text()


def test_the_page_has_what_was_measured() -> None:
    point = {
        "name": "lora", "forecast": {"total": 3 * 2**30, "process": 2**30}, "measured": 4 * 2**30, "ratio": 0.5,
        "reserved": 5 * 2**30, "stages": {"attaching": 1, "training": 2}, "seconds_a_step": 0.25, "within": False,
        "tokens_a_second": 2400.0, "operations_a_second": 1e14,
    }  # fmt: skip
    scored = {**point, "name": "base", "stages": {"scoring": 2}, "seconds_a_step": None, "operations_a_second": None}
    context = {"name": "context", "measured": 2**30, "forecast": 2**29, "workspace": 2**25}
    run = {"name": "lora: a against b", "bound": {"loss": 0.1, "text": 0.9}, "loss": 0.01, "text": 1.0,
           "accuracy": 0.0, "seconds": 2.0, "within": True}  # fmt: skip
    twice = {"name": "twice", "equal": ["lora"], "different": []}
    parts = {
        "environment": {"title": "Machine", "results": [{"name": "GPU", "matmul": 4e14, "memory": 80 * 2**30}]},
        "runs": {"title": "Runs", "results": [{"name": "cuda bf16", "seconds": 3.0}, run, twice]},
        "memory": {"title": "Memory", "results": [context, point, scored]},
    }
    page = "\n".join(gpu_page.page({"device": "cuda", "budget": 60.0, "seconds": 9.0, "parts": parts}))
    assert "| lora | 2.00 | 4.00 | 0.5 | 5.00 | training | 0.25 | 2400 | 25 % | out |" in page
    assert "| base | 2.00 | 4.00 | 0.5 | 5.00 | scoring | – | 2400 | – | out |" in page
    assert "400.00 TFLOP/s" in page and "80.00 GiB" in page and "same scores in both processes: lora" in page
