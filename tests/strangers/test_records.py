"""Records, notes and folders that anybody may have written: refused by name in a line, or harmless."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from conftest import secura_bench
from synthetic import write_records

from secura_bench.report.make import make_report, render
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs
from secura_bench.results.status import read_status

SMALL = {"seeds": (1,), "tasks": ("colours", "counting"), "probe_items": 20, "task_items": 10, "steps": 4}
ESCAPE = "\x1b]0;mine\x07\x1b[2J\u202eno"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_records(tmp_path / "results", **SMALL)


def record_of(results: Path, method: str) -> Path:
    return next(results.glob(f"trial/{method}-*/record.json"))


def changed(path: Path, key: str, value: str) -> None:
    """Put ``value``, a JSON text that Python may not be able to write, at a dotted key of a record."""
    data = json.loads(path.read_text())
    *parents, last = key.split(".")
    place = data
    for parent in parents:
        place = place[int(parent)] if isinstance(place, list) else place[parent]
    place[last] = "@@@"
    path.write_text(json.dumps(data).replace('"@@@"', value))


ODD = [
    ("model", "{}", "model.label"),
    ("model", '{"label": "a", "identity": "b", "more": 1}', "model.more"),
    ("method", "{}", "method.name"),
    ("method.options", '{"r": ' + "9" * 30 + "}", "method.options"),
    ("method.options", '{"r": NaN}', "method.options"),
    ("method.options", "[" * 20 + "]" * 20, "method.options"),
    ("method.train", '{"lr": ' + '{"a":' * 20 + "1" + "}" * 20 + "}", "method.train"),
    ("diverged_at", '{"where": 1}', "diverged_at.task"),
    ("diverged_at", '{"task": "colours", "step": -1}', "diverged_at.step"),
    ("parameters", '{"trainable": null}', "parameters.trainable"),
    ("parameters.total", "1" + "0" * 400, "parameters.total"),
    ("scores.0.after", '"elsewhere"', "none of the tasks"),
    ("scores.0.task", '"elsewhere"', "neither a task nor of the probe"),
    ("scores.0.stage", "-1", "scores.0.stage"),
    ("scores.0.values", '{"accuracy": NaN}', "scores.0.values.accuracy"),
    ("scores.0.values", '{"accuracy": 1e308}', "scores.0.values.accuracy"),
    ("cost.train_seconds", "Infinity", "cost.train_seconds"),
    ("weight_norms", '{"before": {"q_proj": -Infinity}}', "weight_norms.before.q_proj"),
    ("seed", "1" + "0" * 5000, "is damaged"),
    ("data", "[]", "data"),
    ("tasks", '"colours"', "tasks"),
    ("schema_version", "99", "schema version 99"),
]


@pytest.mark.parametrize(("key", "value", "said"), ODD, ids=[f"{key}={value[:20]}" for key, value, _ in ODD])
def test_an_odd_record_is_left_out_by_name_and_the_others_are_told(results: Path, key: str, value: str, said) -> None:
    changed(record_of(results, "lora"), key, value)
    runs, (problem,) = read_runs([results])
    assert f"{record_of(results, 'lora')}: " in problem
    assert said in problem
    assert len(problem.splitlines()) == 1
    assert {run.record.method["name"] for run in runs} == {"base", "seq", "secura"}
    report = make_report(runs, ["all"])
    for format in ("markdown", "latex", "csv", "json", "html"):
        assert render(report, format)
    assert {run.name.split("-")[0]: run.state for run in read_status(results)}["lora"] == "damaged"


def test_a_report_with_an_odd_record_ends_with_one_and_says_so_harmlessly(results: Path) -> None:
    lora = record_of(results, "lora")
    changed(lora, "model", json.dumps({ESCAPE: 1}))
    done = secura_bench("report", str(results), cwd=results)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"skipped: {lora}")
    assert "\x1b" not in done.stdout + done.stderr
    assert "seq" in done.stdout


def test_status_shows_every_run_whatever_one_note_holds(results: Path) -> None:
    lora = record_of(results, "lora").parent
    (lora / "record.json").unlink()
    locks = results / "trial" / ".locks"
    locks.mkdir()
    notes = {
        "{}": "missing",
        "[]": "missing",
        '{"host": "h", "pid": -1, "started": 0, "updated": 0}': "missing",
        '{"host": "h", "pid": 1, "started": 1e300, "updated": 0}': "missing",
        '{"host": "h", "pid": "x", "started": 0, "updated": 0}': "missing",
        json.dumps({"host": ESCAPE, "pid": 7, "started": 0, "updated": time.time()}): "running",
    }
    for note, state in notes.items():
        (locks / f"{lora.name}.json").write_text(note)
        done = secura_bench("status", str(results), cwd=results)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert next(line for line in done.stdout.splitlines() if "lora" in line).split()[1] == state
        assert len([line for line in done.stdout.splitlines() if " done" in line]) >= 3
    (locks / f"{lora.name}.json").unlink()
    for failure in ("{", "[]", '{"reason": 1}', json.dumps({"reason": ESCAPE * 999, "advice": "\n" * 99})):
        (lora / "failure.json").write_text(failure)
        done = secura_bench("status", str(results), cwd=results)
        assert "\x1b" not in done.stdout
        assert " failed " in done.stdout
        assert len(done.stdout) < 5000
    for plan in ('{"runs": [{"name": "x", "folder": "../../../etc", "units": 1}]}', '{"runs": 5}', "[" * 100_000):
        (results / "trial" / "plan-1.json").write_text(plan)
        assert "etc" not in secura_bench("status", str(results), cwd=results).stdout


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipes_hang_nothing(results: Path) -> None:
    lora = record_of(results, "lora")
    lora.unlink()
    os.mkfifo(lora)
    (results / "trial" / ".locks").mkdir()
    for name in ("plan-1.json", f".locks/{lora.parent.name}.json", f"{lora.parent.name}/failure.json"):
        os.mkfifo(results / "trial" / name)
    assert "done" in secura_bench("status", str(results), cwd=results).stdout
    done = secura_bench("report", str(results), cwd=results)
    assert done.returncode == 1
    assert done.stderr.strip() == f"skipped: {lora}: cannot be read: is no regular file."
    items = next(record_of(results, "seq").parent.rglob("facts.json"))
    items.unlink()
    os.mkfifo(items)
    assert secura_bench("report", str(record_of(results, "seq")), cwd=results).returncode == 0


def test_a_folder_that_cannot_be_read_is_named(results: Path, monkeypatch) -> None:
    locked = record_of(results, "lora").parent
    scan = os.scandir

    def refuse(path):
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    runs, problems = read_runs([results])
    assert len(runs) == 3
    assert problems == [f"{locked}: cannot be read: Permission denied."]


def test_two_modes_of_one_experiment_are_two_studies(tmp_path: Path) -> None:
    """Runs that train a task alone and runs of a sequence share the base model's, and nothing else."""
    write_records(tmp_path / "results", **SMALL)
    write_records(tmp_path / "more", **SMALL, mode="separate")
    for run in (tmp_path / "more" / "trial").iterdir():
        if not run.name.startswith("base"):
            run.rename(tmp_path / "results" / "trial" / run.name)
    runs, _ = read_runs([tmp_path / "results"])
    studies = make_studies(runs)
    assert [study.mode for study in studies] == ["separate", "sequence"]
    assert all(study.base for study in studies)
    assert {len(arm.sequence) for arm in studies[0].arms} == {1}
    assert {len(arm.sequence) for arm in studies[1].arms} == {2}
    assert {table.id for table in make_report(runs, ["all"]).tables} >= {"matrix", "continual", "retention"}
