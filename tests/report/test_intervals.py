"""How sure a report is of its numbers: what is ranked, what has no interval, and which items it reads."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_records import MAIN, filed, record, score, three_methods

from secura_bench.report.make import make_report, render
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run
from secura_bench.results.folder import items_file


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return three_methods(tmp_path)


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
    known = ("record.json", "manifest.json")  # what a run is, and in which order its spec has its methods
    inside = (path for path in opened if path.is_relative_to(results) and path.name not in known)
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
