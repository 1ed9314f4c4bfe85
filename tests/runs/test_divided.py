"""Runs that two processes do together: trained and scored by both, with one's numbers, whatever one of them meets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import secura_bench
from divided_runs import do_divided_runs
from forked import together
from interrupted import SEQUENCE, kill_test

from secura_bench.execution.ready import why_not
from secura_bench.results.read import find_records

TRAINED = SEQUENCE.replace("[{name: lora, r: 2}]", "[{name: secura, r: 4, m: 6}, {name: ewc, fisher_samples: 3}, er]")
TRAINED = TRAINED.replace("batch_size: 2}", "batch_size: 1}")
SANDBOX = not any(why_not(["python"]).values())
PROTOCOLS = f"""\
experiment: protocols
mode: separate
model: tiny
tasks: [tiny_langid_head]
probe: [tiny_arith, tiny_choice, tiny_text{", tiny_run" * SANDBOX}]
probe_rows: 28
methods: [base]
evaluate:
  protocols: [teacher_forced, generate, own_metric, choice, perplexity, classify{", execute" * SANDBOX}]
  limit: 5
  batch_size: 2
data: {{rows: 60}}
threads: 1
"""
SPECS = {"protocols": PROTOCOLS, "trained": TRAINED, "failed": TRAINED, "stopped": TRAINED}
SPECS["starved"] = TRAINED.replace("batch_size: 1}", "batch_size: 2}")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process does of all that."""
    root = tmp_path_factory.mktemp("one")
    for name in ("protocols", "trained"):
        (root / name).mkdir()
        (root / name / "spec.yaml").write_text(SPECS[name])
        done = secura_bench("run", "spec.yaml", "--allow-code", cwd=root / name)
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes do, one command after another, and in ``ended-0.json`` and ``ended-1.json`` how these end."""
    root = tmp_path_factory.mktemp("two")
    for name, spec in SPECS.items():
        (root / name).mkdir()
        (root / name / "spec.yaml").write_text(spec)
    ended = together(2, do_divided_runs, root, cwd=root)
    assert [code for code, _, _ in ended] == [0, 0], ended
    return root


def ends(two: Path, name: str) -> list[list[dict[str, Any]]]:
    """Return how the commands of one folder ended, for each process."""
    return [json.loads((two / f"ended-{rank}.json").read_text())[name] for rank in (0, 1)]


def files(results: Path, *parts: str) -> dict[str, bytes]:
    """Return what lies in results, less times, and the lines of answers in the order of their positions."""
    found = kill_test.files(results)
    answers = {name: b"\n".join(sorted(text.splitlines())) for name, text in found.items() if name.startswith(".base")}
    whole = {**found, **answers}
    return {name: text for name, text in whole.items() if not parts or any(part in name for part in parts)}


def test_every_protocol_finds_the_items_of_one_process_bit_for_bit(one: Path, two: Path) -> None:
    mine, theirs = (files(root / "protocols" / "results") for root in (one, two))
    assert sum(name.endswith(".texts.jsonl") for name in mine) >= 9 + SANDBOX
    assert mine == theirs


def test_training_in_company_agrees_with_one_process(one: Path, two: Path) -> None:
    """Without dropout the scores are one process's but for the order of sums in fp32; the first one reports."""
    for rank, commands in enumerate(ends(two, "trained")):
        headings = [line for line in commands[0]["stdout"].splitlines() if line.strip().endswith("probe tiny_f_task")]
        assert len(headings) == len(set(headings)) and bool(headings) == (rank == 0)
    found = [
        {path.parent.name: json.loads(path.read_text()) for path in find_records(root / "trained")}
        for root in (one, two)
    ]
    assert len(found[0]) == 4 and found[0].keys() == found[1].keys()
    for name, alone in found[0].items():
        for mine, other in zip(alone["scores"], found[1][name]["scores"], strict=True):
            assert mine["values"]["loss"] == pytest.approx(other["values"]["loss"], rel=1e-4)
        assert alone["cost"]["tokens"] == found[1][name]["cost"]["tokens"]
        assert alone["notes"] == found[1][name]["notes"] == []
    logs = [
        {path.parent.name: path.read_text() for path in (root / "trained").rglob("log.jsonl")} for root in (one, two)
    ]
    assert len(logs[0]) == 3 and logs[0].keys() == logs[1].keys()
    for name, text in logs[0].items():
        for mine, other in zip(
            map(json.loads, text.splitlines()), map(json.loads, logs[1][name].splitlines()), strict=True
        ):
            if "loss" in mine:
                assert mine["loss"] == pytest.approx(other["loss"], rel=1e-3)
                assert mine["terms"] == pytest.approx(other["terms"], rel=2e-2, abs=1e-6), "a term enters a step once"


def test_an_error_in_one_share_ends_the_run_in_both_processes_and_the_next_goes_on(two: Path) -> None:
    said = "a row that only the second process was dealt."
    for (done,), speaks in zip(ends(two, "failed"), (True, False), strict=True):
        assert done["returncode"] == 1 and "Traceback" not in done["stderr"]
        assert (said in done["stderr"]) == speaks
    (failure,) = (two / "failed").rglob("failure.json")
    assert "base" in failure.parent.name and json.loads(failure.read_text())["reason"] == said
    text = (failure.parent / "traceback.txt").read_text()
    assert "in another process of the run" in text and "in fail\n" in text
    assert [record.parent.name.rpartition("-")[0] for record in find_records(two / "failed")] == [
        "tiny-er-2-tasks-s114514"
    ]


def test_memory_that_runs_out_in_one_process_halves_the_batch_in_both(one: Path, two: Path) -> None:
    assert [done["returncode"] for commands in ends(two, "starved") for done in commands] == [0, 0]
    (starved,) = (json.loads(path.read_text()) for path in find_records(two / "starved"))
    assert starved["notes"] == ["out of memory while scoring: evaluate.batch_size halved to 1"]
    (alone,) = (json.loads(path.read_text()) for path in find_records(one / "trained") if "-base-" in str(path))
    for ours, theirs in zip(starved["scores"], alone["scores"], strict=True):
        mine, other = ({k: v for k, v in each["values"].items() if v is not None} for each in (ours, theirs))
        assert mine == pytest.approx(other, rel=1e-5) and "loss" in mine


def test_a_stop_that_one_process_is_asked_for_stops_both_and_they_go_on_to_equal_numbers(two: Path) -> None:
    first, second = ([done["returncode"] for done in commands] for commands in ends(two, "stopped"))
    assert first == second and first[-1] == 0 and len(first) > 2 and set(first[:-1]) == {143}
    mine, theirs = (files(two / name / "results", "-base-", "-er-", ".base") for name in ("stopped", "trained"))
    assert len(mine) > 20 and mine == {name: theirs[name] for name in mine}
