"""Tables from hand-made records: every number can be worked out in the head."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from conftest import secura_bench

from secura_bench.foundation.harmless import plain
from secura_bench.foundation.wording import duration
from secura_bench.report.formats.document import SCHEMA as REPORT_SCHEMA
from secura_bench.report.formats.text import number
from secura_bench.report.make import FILES, TABLES, make_report, render
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import Table
from secura_bench.results.folder import items_file
from secura_bench.results.record import RunRecord
from secura_bench.runs.progress.events import RunActivity
from secura_bench.runs.progress.person import Reporter


def score(stage: int, after: str | None, role: str, task: str, value: float, finished: bool = True) -> dict[str, Any]:
    values = {"char_bleu": value, "rouge1": value / 2, "rougeL": value / 4, "accuracy": value / 10}
    return {
        "stage": stage, "after": after, "step": 5, "finished": finished, "role": role,
        "protocol": "teacher_forced", "task": task, "n": 30, "values": values,
    }  # fmt: skip


def note(stand_in: str | None = None, too_long: int = 0) -> dict[str, Any]:
    return {
        "source": "local", "revision": None, "licence": "MIT", "stand_in": stand_in, "train_rows": 9, "test_rows": 30,
        "train_hash": "a", "test_hash": "b", "too_long": too_long, "probe_rows": 30, "probe_hash": "c",
    }  # fmt: skip


def record(
    label: str, tasks: list[str], scores: list[dict], seed: int = 1, mode: str = "sequence", **changes
) -> RunRecord:
    fields: dict[str, Any] = {
        "version": "0.1.0", "name": f"{label}-{seed}", "fingerprint": "f", "experiment": "exp", "mode": mode,
        "status": "done", "model": {"label": "m", "identity": "i"},
        "method": {"name": "base" if label == "base" else "x", "label": label, "options": {}, "train": {}},
        "tasks": tasks, "probe": "p", "probe_parts": ["q"], "seed": seed, "limit": None,
        "parameters": {"trainable": 1, "total": 2, "held": 0}, "data": {"q": note(), "t": note(), "u": note()},
        "signatures": {"teacher_forced": {"char_bleu": "sig"}}, "scores": scores,
        "cost": {"train_seconds": 1, "evaluate_seconds": 1, "tokens": 1, "peak_memory": 1, "device": "cpu"},
        "finished_at": f"2026-01-0{seed}T00:00:00",
    }  # fmt: skip
    return RunRecord.model_validate(fields | changes)


BASE = record(
    "base",
    ["t", "u"],
    [score(0, None, "probe", "p", 80), score(0, None, "task", "t", 10), score(0, None, "task", "u", 20)],
)


def run(seed: int, shift: float = 0.0, **changes) -> RunRecord:
    scores = [
        score(0, None, "probe", "p", 76),
        score(1, "t", "probe", "p", 70), score(1, "t", "task", "t", 90 + shift),
        score(2, "u", "probe", "p", 55, finished=False),
        score(3, "u", "probe", "p", 40 + shift), score(3, "u", "task", "t", 50), score(3, "u", "task", "u", 70),
    ]  # fmt: skip
    return record("mine", ["t", "u"], scores, seed, **changes)


MAIN = ("teacher_forced", "char_bleu")


def study_of(records: list[RunRecord]) -> Study:
    (study,) = make_studies([Run(one) for one in records])
    return study


def arm_of(study: Study, method: str = "mine") -> Arm:
    arm = study.arm(method, study.sequences[0])
    assert arm is not None
    return arm


def table_of(records: list[RunRecord], name: str) -> Table:
    (table,) = make_report([Run(one) for one in records], [name]).tables
    return table


def column(table: Table, group: str, heading: str) -> dict[str, float]:
    """Return a column's numbers by method."""
    (i,) = [i for i, c in enumerate(table.columns) if (c.group, c.heading) == (group, heading)]
    return {row.of["method"]: row.entries[i].cell.value for row in table.rows}


# What the numbers are


def test_a_sequence_of_tasks() -> None:
    study = study_of([run(1), run(2, shift=4), BASE])
    mine = arm_of(study)
    assert study.probe(study.base, *MAIN).value == 80 and study.retention(study.base, *MAIN).value == 100
    assert study.learned(study.base, *MAIN).value == 15  # the mean of 10 and 20
    assert study.learned(mine, *MAIN).value == pytest.approx((90 + 70 + 94 + 70) / 4)
    assert study.learned(mine, *MAIN).per_seed == (80, 82)
    assert study.final(mine, *MAIN).value == pytest.approx((50 + 70 + 50 + 70) / 4)
    assert study.probe(mine, *MAIN, at="start").value == 76
    assert study.probe(mine, *MAIN).value == 42
    assert study.probe(mine, "teacher_forced", "accuracy").value == pytest.approx(4.2)
    assert study.retention(mine, *MAIN).value == pytest.approx(52.5)
    assert mine.seeds == (1, 2) and study.probe(mine, *MAIN).n == 30


def test_the_accuracy_matrix_and_what_follows_from_it() -> None:
    study = study_of([run(1), BASE])
    mine = arm_of(study)
    np.testing.assert_array_equal(study.matrix(mine, *MAIN).values, [[10, 20], [90, math.nan], [50, 70]])
    found = {name: cell.value for name, cell in study.continual(mine, *MAIN).items()}
    assert found["average_accuracy"] == 60 and found["learning_accuracy"] == 80
    assert found["backward_transfer"] == -40 and found["forgetting"] == 40
    assert math.isnan(found["forward_transfer"]), "u was not scored after t"
    assert [cell.value for _, cell in study.curve(mine, *MAIN)] == [76, 70, 55, 40]
    assert [cell.value for _, cell in study.curve(mine, *MAIN, retention=True)] == [95, 87.5, 68.75, 50]


def test_a_missing_base_is_said_and_nothing_is_made_up() -> None:
    study = study_of([run(1)])
    assert study.retention(arm_of(study), *MAIN).missing and study.probe(study.base, *MAIN).missing
    assert any("base model's record is missing" in line for line in table_of([run(1)], "retention").notes)


def test_diverged_runs_have_no_final_scores() -> None:
    half = record(
        "mine", ["t", "u"], run(1).model_dump()["scores"][:3], status="diverged", diverged_at={"task": "u", "step": 3}
    )
    table = table_of([BASE, half], "retention")
    assert math.isnan(column(table, "probe", "BLEU")["mine"])
    assert table.rows[1].entries[1] == "mine (1 of 1 diverged)" and any("u step 3" in note for note in table.notes)


def test_other_rows_are_another_study() -> None:
    other = run(3, data={"q": {**note(), "probe_hash": "z"}, "t": note(), "u": note()})
    assert len(make_studies([Run(BASE), Run(run(1)), Run(other)])) == 2


def test_other_settings_are_another_line_and_never_a_seed() -> None:
    def at(lr: float, seed: int, shift: float) -> RunRecord:
        return run(seed, shift, method={"name": "x", "label": "mine", "options": {}, "train": {"lr": lr, "steps": 5}})

    study = study_of([BASE, at(1e-3, 1, 0), at(1e-5, 1, 8), at(1e-5, 2, 8)])
    found = {arm.method: (study.probe(arm, *MAIN).value, arm.seeds) for arm in study.arms}
    assert found == {"mine lr=0.001": (40, (1,)), "mine lr=1e-05": (48, (1, 2))}


def test_of_two_records_of_one_run_the_newest_counts() -> None:
    older, newer = run(1), run(1, shift=20, finished_at="2027-01-01T00:00:00")
    records = [newer, BASE, older, BASE.model_copy(update={"finished_at": "2020-01-01T00:00:00"})]
    study = study_of(records)
    assert study.probe(arm_of(study), *MAIN).value == 60 and arm_of(study).seeds == (1,)
    assert any("2 older records" in line for line in table_of(records, "retention").notes)


def test_separate_tasks_have_a_mean() -> None:
    def one(task: str, learned: float, probe: float) -> RunRecord:
        scores = [score(0, task, "task", task, learned), score(0, task, "probe", "p", probe)]
        return record("mine", [task], scores, mode="separate")

    table = table_of([BASE, one("t", 60, 40), one("u", 80, 60)], "retention")
    assert [(row.section, row.of["method"]) for row in table.rows] == [
        ("t", "base"), ("t", "mine"), ("u", "base"), ("u", "mine"), ("mean of 2", "base"), ("mean of 2", "mine"),
    ]  # fmt: skip
    learned = next(i for i, c in enumerate(table.columns) if c.group == "learned")
    assert table.rows[0].entries[learned].cell.value == 10, "the base on that task alone"
    assert table.rows[-1].entries[learned].cell.value == 70
    assert column(table, "kept", "%")["mine"] == pytest.approx((50 + 75) / 2)


def test_constant_answers_stand_beside_accuracy() -> None:
    data = {
        "q": {**note(), "probe_majority": 30.0, "probe_chance": 25.0},
        "t": {**note(), "majority": 60.0, "chance": 50},
    }
    data["u"] = {**note(), "majority": 40.0, "chance": 20.0}
    table = table_of([run(1, data=data), BASE.model_copy(update={"data": run(1, data=data).data})], "retention")
    assert (
        column(table, "learned", "acc")["majority answer"] == 50
        and column(table, "probe", "acc")["majority answer"] == 30
    )
    assert (
        column(table, "learned", "acc")["random choice"] == 35 and column(table, "probe", "acc")["random choice"] == 25
    )
    assert math.isnan(column(table, "learned", "BLEU")["random choice"])


def test_feet_say_what_is_limited_stands_in_or_happened() -> None:
    data = {"q": note("another set"), "t": note(too_long=4), "u": note()}
    changes = {"data": data, "limit": 7, "notes": ("the micro-batch was halved",)}
    for name in ("retention", "cost", "continual", "matrix"):
        text = " ".join(table_of([run(1, **changes)], name).notes)
        assert "q: another set" in text and "t 4" in text and "at most 7 test rows" in text and "halved" in text
        assert "0.1.0" in text and ("sig" in text) == (name != "cost")


def test_the_base_of_one_precision_is_not_the_measure_of_another() -> None:
    full, half = (run(1, precision=precision, context=600) for precision in ("fp32", "bf16"))
    assert [len(study.runs) for study in make_studies([Run(full), Run(half)])] == [1, 1]
    (note_,) = [line for line in table_of([full], "retention").notes if line.startswith("Precision")]
    assert note_ == "Precision fp32; context 600 tokens."


# How sure they are


def filed(folder: Path, one: RunRecord, items: dict[str, list[float]]) -> Run:
    """Write a record with ``items`` (by the protocol's task) behind its last scores, and return its run."""
    scores = []
    for found in one.scores:
        part = "q" if found.role == "probe" else found.task
        if part in items:
            target = folder / one.name / items_file(found, part)
            target.parent.mkdir(parents=True, exist_ok=True)
            columns = {"char_bleu": items[part], "accuracy": [100.0 * (value > 50) for value in items[part]]}
            ids = [f"{part}-{i}" for i in range(len(items[part]))]
            target.write_text(json.dumps({"id": ids, **columns}))
            means = {name: float(np.mean(values)) for name, values in columns.items()}
            found = found.model_copy(update={"values": {**found.values, **means}, "n": len(ids)})
        scores.append(found)
    one = one.model_copy(update={"scores": tuple(scores)})
    (folder / one.name).mkdir(parents=True, exist_ok=True)
    (folder / one.name / "record.json").write_text(one.model_dump_json())
    return Run(one, folder / one.name)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return three_methods(tmp_path)


def three_methods(folder: Path, seeds: tuple[int, ...] = (1,)) -> Path:
    """Return a results folder: a base and three methods, of which two keep nearly the same."""
    rng = np.random.default_rng(4)
    known = np.clip(60 + 20 * rng.standard_normal(200), 0, 100)
    methods = [(label, kept, seed) for label, kept in (("good", 0.9), ("same", 0.899), ("bad", 0.5)) for seed in seeds]
    for label, kept, seed in [("base", 1.0, 1), *methods]:
        scores = [score(0, "t", "task", "t", 50), score(0, "t", "probe", "p", 50)]
        if label == "base":
            scores = [{**one, "after": None} for one in scores]
        name = label if seed == 1 else f"{label}-{seed}"
        one = record(label, ["t"], scores, seed, mode="separate", name=name)
        noise = 4 * rng.standard_normal(200) if label != "base" else 0
        filed(folder / "r" / "exp", one, {"q": list(kept * known + noise), "t": list(known)})
    return folder / "r"


def test_what_cannot_be_told_apart_is_not_ranked(tmp_path: Path) -> None:
    from secura_bench.report.study.read import read_runs

    runs, problems = read_runs([three_methods(tmp_path, (1, 2, 3))])
    assert len(runs) == 10 and not problems
    (table,) = make_report(runs, ["retention"]).tables
    kept = next(i for i, c in enumerate(table.columns) if c.group == "kept")
    entries = {row.of["method"]: row.entries[kept] for row in table.rows}
    assert [entries[name].best for name in ("good", "same", "bad")] == [True, True, False]
    assert 90 in entries["good"].cell.interval and entries["good"].cell.high - entries["good"].cell.low < 4, "paired"
    (table,) = make_report(runs, ["differences"]).tables
    verdicts = {(row.entries[1], row.entries[2]): row.entries[-1] for row in table.rows}
    assert {verdicts["probe", "good"], verdicts["probe", "same"]} == {"best", "not told apart"}
    assert verdicts["probe", "bad"] == "worse"


def test_one_seed_is_marked_and_not_ranked(results) -> None:
    from secura_bench.report.study.read import read_runs

    runs, _ = read_runs([results])
    report = make_report(runs, ["retention", "differences"])
    shown = render(report, "markdown")
    assert "*" not in "".join(line for line in shown.splitlines() if line.startswith("|")) and "]†" in shown
    assert "another seed may lie outside" in shown and "these runs' items only" in shown
    verdicts = [row.entries[-1] for row in report.tables[1].rows]
    assert verdicts and set(verdicts) == {"one seed"}
    marked = [number["items_only"] for number in _numbers_of(json.loads(render(report, "json")))]
    assert any(marked) and not all(marked), "the base has no seed"


def _numbers_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [row for table in document["tables"] for row in table["rows"]]
    return [entry for row in rows for entry in row["entries"] if isinstance(entry, dict)]


def test_differences_of_the_mean_over_tasks_are_the_means_of_the_tasks(tmp_path: Path) -> None:
    from synthetic import write_records

    from secura_bench.report.study.read import read_runs

    write_records(tmp_path, tasks=("a", "b", "c"), seeds=(1, 2, 3), mode="separate", protocols=("teacher_forced",))
    (study,) = make_studies(read_runs([tmp_path])[0])
    (table,) = make_report(read_runs([tmp_path])[0], ["differences"]).tables
    rows = {(row.entries[0], row.entries[1], row.entries[2]): row.entries for row in table.rows}
    for what, measure in (("learned", study.learned), ("probe", study.probe)):
        means = {m: np.mean([measure(study.arm(m, (t,)), *MAIN).value for t in "abc"]) for m in study.methods}
        best = max(means, key=means.get)
        for method in means:
            entries = rows["mean of 3", what, method]
            if method == best:
                assert entries[-1] == "best"
            else:
                assert entries[3].cell.value == pytest.approx(means[method] - means[best])


def test_items_that_are_not_the_records_own_are_not_used(results) -> None:
    from secura_bench.report.study.read import read_runs

    path = results / "exp" / "good" / "evals" / "0000-t-5" / "teacher_forced" / "probe" / "q.json"
    for damage in (
        "{",
        json.dumps({"id": ["a"] * 30, "char_bleu": [1.0] * 30}),
        json.dumps({"id": ["a"], "char_bleu": [1, 2]}),
    ):
        path.write_text(damage)
        (study,) = make_studies(read_runs([results])[0])
        cell = study.probe(study.arm("good", ("t",)), *MAIN)
        assert not cell.missing and cell.interval is None and cell.why


def test_only_the_items_behind_what_is_drawn_are_read(results, monkeypatch, capsys) -> None:
    from secura_bench.report.formats.terminal import print_tables
    from secura_bench.report.study.read import read_runs

    runs, _ = read_runs([results])
    start = score(0, None, "probe", "p", 50)
    for name in ("good", "same", "bad"):  # scored before training as well, which has a column and no interval
        one = next(run.record for run in runs if run.record.name == name)
        late = [each.model_copy(update={"stage": 1}) for each in one.scores]
        late = [each.model_dump() for each in late]
        items = {"q": [50.0] * 30, "t": [50.0] * 30}
        filed(results / "exp", record(name, ["t"], [start, *late], mode="separate", name=name), items)
    for path in results.rglob("*.json"):
        if path.name != "record.json":
            path.with_suffix(".texts.jsonl").write_text("{}\n")
    opened: list[Path] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *how: (opened.append(Path(path)), real(path, *how))[1])
    print_tables(make_report(read_runs([results])[0], ["retention"]).tables)
    assert "kept" in capsys.readouterr().out
    inside = (path for path in opened if path.is_relative_to(results) and path.name != "record.json")
    read = {str(path.relative_to(results / "exp")) for path in inside}
    assert not [path for path in read if path.endswith(".texts.jsonl")], "tables need no text"
    ends = {f"{name}/evals/0001-t-5/teacher_forced/{of}" for name in ("good", "same", "bad") for of in _SCORED}
    assert read == ends | {f"base/evals/0000-start-5/teacher_forced/{of}" for of in _SCORED}, "nothing of the start"


_SCORED = ("t.json", "probe/q.json")


def test_a_probe_of_which_a_part_alone_has_choices_has_intervals(tmp_path) -> None:
    def scores(stage: int, after: str | None, value: float) -> list[dict[str, Any]]:
        found = [score(stage, after, "part", "q", value), score(stage, after, "probe", "p", value)]
        return [{**each, "protocol": "choice"} for each in found]

    runs = []
    for label, after, value in (("base", None, 100.0), ("mine", "t", 0.0)):
        one = record(label, ["t"], scores(0, after, value), mode="separate", name=label, probe_parts=["arith", "q"])
        runs.append(filed(tmp_path, one, {"q": [value, 100.0] * 15}))
    (study,) = make_studies(runs)
    kept = study.retention(study.arm("mine", ("t",)), "choice", "accuracy")
    assert kept.value == 50 and 25 < kept.low < 50 < kept.high < 75


def test_perplexity_is_kept_where_it_has_not_risen(tmp_path, capsys) -> None:
    from secura_bench.report.formats.terminal import print_tables

    tokens, rng = [90.0, 10.0] * 20, np.random.default_rng(0)
    known = rng.uniform(1, 3, 40)
    runs = []
    for label, after, more in (("base", None, 0.0), ("mine", "t", math.log(2))):
        loss = list(known + more)
        nats = float(np.average(loss, weights=tokens))
        one = {**score(0, after, "probe", "p", 0), "protocol": "perplexity", "values": {"perplexity": math.exp(nats)}}
        made = record(label, ["t"], [one], mode="separate", name=label)
        target = tmp_path / label / items_file(made.scores[0], "q")
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps({"id": [str(i) for i in range(40)], "loss": loss, "tokens": tokens}))
        runs.append(Run(made, tmp_path / label))
    (study,) = make_studies(runs)
    arm = study.arm("mine", ("t",))
    kept, probe = (of(arm, "perplexity", "perplexity") for of in (study.retention, study.probe))
    assert kept.value == pytest.approx(50) and kept.low == pytest.approx(50) and kept.high == pytest.approx(50), (
        "paired"
    )
    assert 0 < probe.low < probe.value < probe.high
    print_tables(make_report(runs, ["retention"]).tables)
    out = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "Kept: the probe at the end, the base's in % of it, for lower is better" in out
    assert "there is no score of: learned." in out


def test_what_forgetting_consists_of(tmp_path) -> None:
    def answers(label: str, after: str | None, columns: dict[str, list[float]]) -> Run:
        made = [
            {**score(0, after, "part", "q", 0), "protocol": protocol, "values": {}}
            for protocol in ("generate", "choice")
        ]
        one = record(label, ["t"], made, mode="separate", name=label)
        target = tmp_path / label / items_file(one.scores[0], "q")
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps({"id": ["a", "b", "c", "d", "e"], **columns}))
        return Run(one, tmp_path / label)

    nothing = [0.0] * 5
    base = answers("base", None, {"accuracy": [100, 100, 100, 100, 0], "format": nothing, "gone": nothing})
    labels = {"accuracy": [100, 0, 0, 0, 0], "format": [0, 100, 0, 0, 100], "gone": [0, 0, 100, 0, 0]}
    (table,) = make_report([base, answers("mine", "t", labels)], ["losses"]).tables
    (row,) = table.rows
    assert {c.heading: e.cell.value for c, e in zip(table.columns[1:-1], row.entries[1:-1], strict=True)} == {
        "kept": 25, "format": 25, "gone": 25, "cut": 25,
    }  # fmt: skip
    assert row.entries[-1] == "4", "of those that the base had right"


# How they are drawn


def test_numbers_and_durations() -> None:
    assert number(math.nan, 2) == "–" and number(1.005, 1) == "1.0" and number(-0.04, 1) == "0.0"
    assert number(-2.5, 1) == "−2.5" and number(1e-9, 4) == "<0.0001" and number(0.0, 4) == "0.0000"
    assert [duration(s) for s in (4.4, 185, 7800)] == ["4 s", "3:05 min", "2:10 h"]


def test_progress_has_time_left(monkeypatch) -> None:
    import io

    clock = iter(range(0, 10_000, 15))
    monkeypatch.setattr("secura_bench.runs.progress.person.time.monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    with Reporter(100, 2, stream) as reporter:
        reporter.start_run("one-0", "one", 50)
        reporter.advance(25, RunActivity("step 1/2"))
        reporter.end_run("done", "done")
        reporter.start_run("two-0", "two", 50)
        assert reporter.time_left().endswith("left")
        reporter.end_run("done", "done")
    lines = stream.getvalue().splitlines()
    assert lines[1].startswith("[1/2] one: step 1/2  25 % of all") and "left" in lines[1]
    assert lines[-1] == "[2/2] two: done"


def test_a_narrow_terminal_loses_columns_and_no_digits(monkeypatch, capsys) -> None:
    from rich.console import Console

    from secura_bench.report.formats import terminal

    tables = make_report([Run(one) for one in (BASE, run(1), run(2, shift=4))], ["retention", "matrix"]).tables
    for width in (50, 80, 100, 140):
        monkeypatch.setattr("rich.console.Console", lambda width=width: Console(width=width, force_terminal=True))
        terminal.print_tables(tables)
        out = capsys.readouterr().out
        assert "…" not in out, f"{width} columns"
        assert "81.0" in out and "52.5" in out, "what was learned, and what was kept, are always there"
        assert (f"Left out in {width} columns: " in out) == (width <= 100)
        lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
        assert max(map(len, lines)) <= width


def test_wide_tables_are_dealt_to_several_grids() -> None:
    from secura_bench.report.formats.terminal import chunks
    from secura_bench.report.tables.table import Column

    columns = [Column("method", "label"), *(Column(f"task{i}") for i in range(16))]
    lines = [["secura", *["10.0 [9.0, 11.0]"] * 16]]
    parts = chunks(columns, lines, range(17), 80)
    assert [i for part in parts for i in part if i] == list(range(1, 17)) and all(part[0] == 0 for part in parts)
    assert all(6 + 3 + (len(part) - 1) * (16 + 3) <= 80 for part in parts)
    assert chunks(columns, lines, range(17), 5) == [[0, i] for i in range(1, 17)]
    grouped = [columns[0], *(Column("score", group=f"on{i // 3}") for i in range(6))]
    assert chunks(grouped, lines, range(7), 9 + 4 * 19) == [[0, 1, 2, 3], [0, 4, 5, 6]], "a group stays together"
    assert chunks(grouped, lines, range(7), 9 + 2 * 19) == [[0, 1, 2], [0, 3, 4], [0, 5, 6]], "if it can"


def test_json_follows_its_schema_and_csv_its_columns(results) -> None:
    from secura_bench.report.formats.tidy import COLUMNS
    from secura_bench.report.study.read import read_runs

    report = make_report(read_runs([results])[0], ["all"], problems=["a sentence"])
    document = json.loads(render(report, "json"))
    schema = json.loads(REPORT_SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    assert document["skipped"] == ["a sentence"] and {table["id"] for table in document["tables"]} <= set(TABLES)
    rows = list(csv.DictReader(io.StringIO(render(report, "csv"))))
    assert rows and list(rows[0]) == list(COLUMNS) and all(math.isfinite(float(row["number"])) for row in rows)
    kept = {
        row["statistic"]: float(row["number"])
        for row in rows
        if row["table"] == "retention" and row["method"] == "good" and row["metric"] == "char_bleu:retention"
    }
    assert kept["low"] < kept["value"] < kept["high"]
    assert any(row["table"] == "scores" and row["method"] == "bad" and row["role"] == "probe" for row in rows)


TEXTS = ("markdown", "latex", "csv", "json")  # the page has tests of its own
HOSTILE = (
    "=cmd()|'x'!A1 \x1b]0;owned\x07\x1b[2J \u202egnp.exe \x00 <script>alert(1)</script> $\\input{/etc/passwd}% & _^~# "
    "[a](javascript:b) `c` | \u2066 \u200f \ud800 new\nline" + "A" * 1_000_000
)
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def test_hostile_names_are_text_in_every_format(capsys) -> None:
    from secura_bench.report.formats import terminal

    data = {"q": note(HOSTILE), "t": note(), "u": note()}
    changes = {"data": data, "experiment": HOSTILE, "model": {"label": HOSTILE, "identity": "i"}, "notes": (HOSTILE,)}
    evil = run(1, method={"name": "x", "label": HOSTILE, "options": {}, "train": {}}, **changes)
    report = make_report([Run(evil)], ["all"], problems=[HOSTILE])
    assert len(report.tables) >= 4
    terminal.print_tables(report.tables)
    texts = {"terminal": capsys.readouterr().out} | {format: render(report, format) for format in TEXTS}
    for format, text in texts.items():
        assert not UNSEEN.search(text), format
        text.encode("utf-8")
        if format != "json":
            assert len(text) < 300_000, "a megabyte is cut"
    assert "<script" not in texts["markdown"] and "](javascript" not in texts["markdown"]
    assert "\\input{" not in texts["latex"].split("\n", 1)[1]
    for row in csv.reader(io.StringIO(texts["csv"])):
        assert not any(cell.startswith(("=", "+", "@", "\t")) for cell in row)
        assert not any(cell.startswith("-") and not re.fullmatch(r"-[\d.e-]+", cell) for cell in row)
    assert json.loads(texts["json"])["studies"][0]["experiment"] == HOSTILE, "data is kept as it is, escaped"
    assert plain("a\x1b[0m\u202e") == "a\\x1b[0m\\u202e"


# At the command line


def test_bad_records_are_named_and_skipped(results) -> None:
    whole = json.loads((results / "exp" / "good" / "record.json").read_text())
    bad = {
        "old": {**whole, "schema_version": 0}, "foreign": {"program": "other"}, "short": {**whole, "scores": None},
    }  # fmt: skip
    for name, content in bad.items():
        (results / name).mkdir()
        (results / name / "record.json").write_text(json.dumps(content))
    (results / "torn").mkdir()
    (results / "torn" / "record.json").write_text('{"program": "secura-b')
    done = secura_bench("report", "r", cwd=results.parent)
    assert done.returncode == 1 and "good" in done.stdout
    assert done.stderr.count("skipped: ") == 4 and "schema version 0" in done.stderr
    for name in (*bad, "torn"):
        assert f"{name}/record.json" in done.stderr
    shutil.rmtree(results / "exp")
    assert secura_bench("report", "r", cwd=results.parent).returncode == 1


def test_formats_and_files_at_the_command_line(results) -> None:
    here = results.parent
    for format in FILES:
        done = secura_bench("report", "r", "--format", format, "--table", "retention", cwd=here)
        assert done.returncode == 0 and "good" in done.stdout
    done = secura_bench("report", "r", "--out", "new", cwd=here)
    assert done.returncode == 0 and set(FILES.values()) <= {path.name for path in (here / "new").iterdir()}
    again = secura_bench("report", "r", "--out", "new", cwd=here)
    assert again.returncode == 2 and "is not empty" in again.stderr
    for wrong, said in (
        (["--table", "retntion"], "Did you mean 'retention'"),
        (["--format", "latx"], "Did you mean 'latex'"),
        (["--against", "papers"], "Did you mean 'paper'"),
        (["--table", "11"], "can be made from these records"),
    ):
        done = secura_bench("report", "r", *wrong, cwd=here)
        assert done.returncode == 2 and said in done.stderr


def test_an_empty_folder_is_an_error(tmp_path) -> None:
    assert secura_bench("report", ".", cwd=tmp_path).returncode == 2
