"""Memory that runs out, methods and trackers that fail: one run ends or takes smaller steps, the others go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import secura_bench
from interrupted import assert_same

from secura_bench.results.read import find_records

PLUGIN = """\
from pathlib import Path
import torch
from secura_bench.methods.method import Method, Options

class RoomOptions(Options):
    rows: int = 1

class SmallRoom(Method):
    "Has memory for a few rows at a time."
    name = "small_room"
    Options = RoomOptions
    def loss(self, model, batch):
        if len(batch.input_ids) > self.options.rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().loss(model, batch)

class Broken(Method):
    name = "broken"
    def after_step(self, model, optimizer):
        if not Path("mended").exists():
            raise RuntimeError("a thing that nobody expected")
"""


@pytest.fixture
def plugin(work: Path) -> str:
    (work / "plugin.py").write_text(PLUGIN)
    return "plugin.py"


def test_out_of_memory_halves_the_micro_batch_and_says_so(work: Path, plugin: str) -> None:
    methods = "methods=[{name: small_room}, {name: small_room, label: none, rows: 0}, seq]"
    spec = ("run", "spec.yaml", "--plugin", plugin, "--set", "train.batch_size=3", "--set", methods)
    done = secura_bench(*spec, cwd=work)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    found = {path.parent.name: json.loads(path.read_text()) for path in find_records(work / "results")}
    halved = next(record for name, record in found.items() if "small_room" in name)
    assert halved["notes"] == [
        "out of memory at step 1: micro_batch_size halved to 2",
        "out of memory at step 1: micro_batch_size halved to 1",
    ]
    plain = next(record for name, record in found.items() if "seq" in name)
    for mine, other in zip(halved["scores"], plain["scores"], strict=True):
        for name, value in mine["values"].items():
            wanted = other["values"][name]
            assert value == (wanted and pytest.approx(wanted, rel=1e-3, abs=1e-3))
    failed = next((work / "results" / "trial").glob("*none*"))
    failure = json.loads((failed / "failure.json").read_text())
    assert failure["reason"].startswith("Out of memory") and "context" in failure["advice"]
    assert not (failed / "record.json").exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16_pure"])
def test_out_of_memory_while_scoring_halves_the_batch_in_fp32(work: Path, monkeypatch, precision: str) -> None:
    """Room for two rows at a time gives what room for five does; in bf16 it would not, and the run fails."""
    from secura_bench.evaluation.predicting import teacher_forced as protocol

    spec = ("run", "spec.yaml", "--quiet", "--set", f"train.precision={precision}", "--set", "evaluate.batch_size=5")
    assert secura_bench(*spec, "--results", "roomy", cwd=work).returncode == 0
    inner = protocol.collate

    def tight(examples: Any, pad_id: int) -> Any:
        if len(examples) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(examples, pad_id)

    monkeypatch.setattr(protocol, "collate", tight)
    done = secura_bench(*spec, "--results", "tight", cwd=work)
    assert "Traceback" not in done.stderr
    if precision != "fp32":
        assert done.returncode == 1 and "Out of memory" in done.stderr
        advice = [json.loads(path.read_text())["advice"] for path in (work / "tight").rglob("failure.json")]
        assert len(advice) == 2 and "evaluate.batch_size" in advice[0]
        return
    assert done.returncode == 0, done.stderr
    roomy, cramped = ([json.loads(p.read_text()) for p in find_records(work / name)] for name in ("roomy", "tight"))
    for mine, other in zip(cramped, roomy, strict=True):
        assert mine["notes"] == [f"out of memory while scoring: evaluate.batch_size halved to {n}" for n in (3, 2)]
        for ours, theirs in zip(mine["scores"], other["scores"], strict=True):
            told = {name: value for name, value in theirs["values"].items() if value is not None}
            assert {n: v for n, v in ours["values"].items() if v is not None} == pytest.approx(told, rel=1e-4)


def test_an_error_ends_one_run_and_is_tried_again(work: Path, plugin: str) -> None:
    methods = "methods=[broken, {name: lora, r: 2}]"
    done = secura_bench("run", "spec.yaml", "--plugin", plugin, "--set", methods, cwd=work)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "RuntimeError: a thing that nobody expected" in done.stderr
    assert len(list(find_records(work / "results"))) == 2
    failed = next((work / "results" / "trial").glob("*broken*"))
    assert "after_step" in (failed / "traceback.txt").read_text()
    assert "a thing that nobody expected" in secura_bench("status", cwd=work).stdout
    (work / "mended").touch()
    again = secura_bench("run", "spec.yaml", "--plugin", plugin, "--set", methods, cwd=work)
    assert again.returncode == 0, again.stderr
    assert not (failed / "failure.json").exists() and not (failed / "traceback.txt").exists()


def test_trackers_that_fail_end_no_run(work: Path, peace: Path, monkeypatch) -> None:
    from accelerate import tracking

    logged: list[Any] = []

    class Good:
        requires_logging_directory = True

        def __init__(self, run_name: str, logging_dir: str) -> None:
            logged.append(run_name)

        def store_init_configuration(self, values: Any) -> None:
            logged.append(values)

        def log(self, values: Any, step: int) -> None:
            logged.append((step, values["loss"]))

        def finish(self) -> None:
            logged.append("finished")

    class Bad(Good):
        def log(self, values: Any, step: int) -> None:
            raise ConnectionError("nobody listens")

    monkeypatch.setattr(tracking, "LOGGER_TYPE_TO_CLASS", {"good": Good, "bad": Bad})
    assert secura_bench("run", "spec.yaml", "--report-to", "godo", cwd=work).returncode == 2
    done = secura_bench("run", "spec.yaml", "--report-to", "bad", "--report-to", "good", cwd=work)
    assert done.returncode == 0 and done.stderr.count("nobody listens") == 1
    assert [entry[0] for entry in logged if isinstance(entry, tuple)] == list(range(1, 9))
    assert logged[-1] == "finished"
    assert_same(peace, work / "results")


def test_json_lines_are_events(work: Path) -> None:
    done = secura_bench("run", "spec.yaml", "--json-lines", cwd=work)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["event"] for event in events} == {"start", "progress", "scored", "end", "finished"}
    assert [event["status"] for event in events if event["event"] == "end"] == ["done", "done"]
    steps = [event["step"] for event in events if event["event"] == "progress" and event["loss"] is not None]
    assert steps == [1, 2, 3, 4, 1, 2, 3, 4]
    ends = {event["run"]: event for event in events if event["event"] == "progress"}
    starts = {event["run"]: event for event in events if event["event"] == "start"}
    for run, start in starts.items():
        assert ends[run]["units"] == pytest.approx(start["units"], abs=1)


def test_what_was_not_kept_or_recorded_is_said(work: Path) -> None:
    assert secura_bench("run", "spec.yaml", "--quiet", "--set", "keep=nothing", cwd=work).returncode == 0
    done = secura_bench("run", "spec.yaml", "--quiet", "--set", "log.weight_norms=true", cwd=work)
    assert done.returncode == 0 and "without keeping its trained result" in done.stderr
    assert "without recording its weight norms" in done.stderr
