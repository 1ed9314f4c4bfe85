"""What the paper printed, what of it cannot be right, and its tables made from records that hold its numbers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import jsonschema
import pytest
from conftest import secura_bench
from paper_records import EXP3_TASKS, SECURA, by_label, numbers, script
from paper_records import published as published_records

from secura_bench.publications import flaws
from secura_bench.publications.place import AVERAGE, Place, Printed
from secura_bench.report.against.ranks import rank_correlation
from secura_bench.report.against.shapes import shapes_of
from secura_bench.report.against.tables import published_tables
from secura_bench.report.formats.document import SCHEMA
from secura_bench.report.make import make_report, render
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run
from secura_bench.report.tables.table import Number, Table
from secura_bench.results.record import RunRecord

MEAN, QA, MODELS = "mean of BLEU, R-1, R-L", ("char_bleu", "rouge1", "rougeL"), tuple(SECURA.file.models)


def found_by(rule: flaws.Rule, values: Mapping[Place, float] = SECURA.values) -> flaws.Found:
    return rule(SECURA.file, {place: Printed(value, 0.01) for place, value in values.items()})


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    studies = make_studies([Run(record) for record in published_records()])
    return {table.id: table for table in published_tables(SECURA, studies, list(shapes_of(SECURA)), against=True)}


def test_everything_printed_is_there() -> None:
    count = Counter(place.table for place in SECURA.values)
    assert count == {"1": 45, "2": 40, "3": 32, "4": 32, "8": 120, "9": 450, "10": 720, "11": 480, "12": 480}
    assert SECURA.values[Place("12", "llama3-8b", "alpaca", "secura", "char_bleu", 2000)] > 70


def test_the_averages_that_do_not_follow() -> None:
    found = found_by(flaws.do_not_follow)
    assert Counter(place.table for place in found) == {"1": 6, "8": 1, "9": 16}
    averages = Counter(p.table for p in SECURA.values if p.model == AVERAGE)
    assert averages["8"] == 20 and averages["9"] == 75 and averages["10"] == 120
    of_nine = Counter(place.method for place in found if place.table == "9")
    assert of_nine == {"cur_lora": 15, "dora": 1}
    assert "52.06" in found[Place("8", AVERAGE, "absnarr", "cur_lora", "accuracy")]


def test_the_other_flaws() -> None:
    identical = found_by(flaws.identical_for_models)
    assert Counter((place.table, place.method) for place in identical) == {("11", "i_lora"): 96, ("12", "i_lora"): 96}
    above = found_by(flaws.rouge_l_above_rouge_1)
    assert Counter((place.table, place.method) for place in above) == {
        ("11", "seq"): 6, ("12", "seq"): 20, ("11", "ewc"): 14, ("12", "ewc"): 11, ("11", "er"): 4, ("12", "er"): 4,
        ("9", "secura"): 3,
    }  # fmt: skip
    repeated = found_by(flaws.repeated_over_tasks)
    assert {(p.table, p.model, p.task, p.method) for p in repeated} == {
        ("9", "gemma2-2b", "gsm8k", "cur_lora"), ("9", "qwen2-1.5b", "alpaca", "cur_lora"),
        *(("9", "qwen2-7b", task, "cur_lora") for task in ("gsm8k", "newsde", "newsit", "newses", "alpaca")),
    }  # fmt: skip


def test_checks_find_what_is_planted_and_nothing_else() -> None:
    clean = {p: v for p, v in SECURA.values.items() if p.table == "10"}
    assert not any(found_by(rule, clean) for rule in (flaws.do_not_follow, flaws.repeated_over_tasks))
    place = Place("10", AVERAGE, "absnarr", "secura", "char_bleu")
    assert list(found_by(flaws.do_not_follow, {**clean, place: clean[place] + 0.03})) == [place]
    one, other = (Place("10", "qwen2-7b", task, "secura", "char_bleu") for task in ("absnarr", "langid"))
    copied = {replace(other, metric=metric): clean[replace(one, metric=metric)] for metric in QA}
    assert {p.task for p in found_by(flaws.repeated_over_tasks, clean | copied)} == {"absnarr", "langid"}


@pytest.mark.parametrize("table", ["8", "9", "10", "11", "12"])
def test_records_of_the_printed_numbers_render_as_printed(tables, table) -> None:
    shown = {}
    for row in tables[table].rows:
        for column, entry in zip(tables[table].columns, row.entries, strict=True):
            if isinstance(entry, Number) and not entry.cell.missing:
                of = {**tables[table].of, **row.of, **column.of}
                step = int(of["step"]) if "step" in of else None
                task = of["after"] if step else of["sequence"]
                shown[Place(table, of["model"], task, of["method"], of["metric"], step)] = entry
    expected = {place: value for place, value in SECURA.values.items() if place.table == table}
    assert set(shown) == set(expected)
    for place, value in expected.items():
        if place.model == AVERAGE:
            follows = "does not follow" not in " ".join(SECURA.wrong.get(place, ()))
            assert (abs(shown[place].cell.value - value) <= 0.01 + 1e-9) == follows
        else:
            assert f"{shown[place].cell.value:.2f}" == f"{value:.2f}"
        assert shown[place].published == value and shown[place].flaws == SECURA.wrong.get(place, ())


@pytest.mark.parametrize(
    ("table", "cells", "wrong"), [("1", 45, 6), ("2", 40, 0), ("8", 120, 1), ("9", 450, 16), ("10", 720, 0)]
)
def test_all_but_the_wrong_averages_are_the_same(tables, table, cells, wrong) -> None:
    verdicts = Counter(entry.verdict for entry in numbers(tables[table]) if entry.published is not None)
    assert verdicts == Counter({"same": cells - wrong, "one seed": wrong})
    for entry in numbers(tables[table]):
        if entry.published is not None:
            assert ("does not follow" in " ".join(entry.flaws)) == (entry.verdict == "one seed")


def test_gaps_stay_gaps(tables) -> None:
    fusion = {row.entries[1]: row for row in tables["3"].rows if row.section == "qwen2-7b"}
    assert list(fusion) == ["base", "secura fusion_step=1", "secura fusion_step=200"]
    assert all(
        entry.verdict == "not run" and entry.cell.missing for entry in fusion["secura fusion_step=200"].entries[2:]
    )
    assert all(entry.verdict == "same" for entry in fusion["secura fusion_step=1"].entries[2:])
    base = next(row for row in tables["10"].rows if row.entries[1] == "base")
    assert all(entry.cell.missing for entry in base.entries[2:])


def test_partial_results_give_partial_tables() -> None:
    some = [r for r in published_records() if r.model["label"] in ("qwen2-7b", "llama3-8b") and r.experiment == "exp2"]
    studies = make_studies([Run(r) for r in some if r.method["name"] != "dora"])
    (table,) = published_tables(SECURA, studies, ["10", "1"], True)
    assert {row.section for row in table.rows} == {"qwen2-7b", "llama3-8b", "average of qwen2-7b, llama3-8b"}
    dora = next(row for row in table.rows if row.entries[1] == "dora")
    assert all(entry.verdict == "not run" for entry in dora.entries[2:])
    assert all(e.published is None for row in table.rows if "average" in row.section for e in row.entries[2:])
    assert any("No records of gemma2-2b, qwen2-1.5b, llama3.1-8b" in note for note in table.notes)


def test_the_merge_ablation_takes_both_merges() -> None:
    runs = [
        Run(record)
        for merge in ("m1", "m2")
        for experiment in ("exp1", "exp2")
        for record in script().ablation("4", experiment, "gemma2-2b", {"merge": merge, "fusion_step": 1})
    ]
    (table,) = published_tables(SECURA, make_studies(runs), ["4"], against=True)
    compared = [entry for entry in numbers(table) if entry.published is not None]
    assert len(compared) == 32 and all(entry.verdict == "same" for entry in compared)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"probe": "other"}, "another probe (other)"),
        ({"probe_rows": 30}, "90 rows of the probe, not 500"),
        ({"train": {"steps": 60}}, "other training (steps 60, not 2000)"),
        ({"train": {"lr": 1e-5}}, "other training (lr 1e-05, not 0.001)"),
        ({"options": {"r": 4}}, "other settings (r 4, not 8)"),
        ({"stand_in": "HumanEval-X"}, "stand-in data (multipl_e)"),
    ],
)
def test_what_is_not_comparable_says_why(change, reason) -> None:
    record = next(r for r in published_records() if r.experiment == "exp2" and r.method["name"] == "lora")
    changes = {"probe": change["probe"]} if "probe" in change else {}
    if "probe" in change:
        changes["scores"] = tuple(score.model_copy(update={"task": change["probe"]}) for score in record.scores)
    if "probe_rows" in change:
        changes["data"] = {k: note.model_copy(update={"probe_rows": 30}) for k, note in record.data.items()}
    if "stand_in" in change:
        note = record.data["multipl_e"].model_copy(update={"stand_in": change["stand_in"]})
        changes = {"data": {**record.data, "multipl_e": note}}
    if "train" in change or "options" in change:
        changed = {key: {**record.method[key], **values} for key, values in change.items()}
        changes = {"method": {**record.method, **changed}}
    (table,) = published_tables(SECURA, make_studies([Run(record.model_copy(update=changes))]), ["10"], against=True)
    entries = [entry for entry in numbers(table) if entry.published is not None and not entry.cell.missing]
    assert entries and all(entry.verdict == "n/c" and entry.reason == reason for entry in entries)
    assert any(reason in note for note in table.notes)


def test_another_model_has_a_reasoned_verdict_for_each_cell() -> None:
    runs = [
        Run(record.model_copy(update={"model": {"label": "mine", "identity": "x"}}))
        for record in published_records()
        if record.model["label"] == "qwen2-7b"
    ]
    report = make_report(runs, against=SECURA)
    assert {table.id for table in report.tables} >= {"1", "2", "8", "9", "10", "11"}
    for table in report.tables:
        there = [entry for entry in numbers(table) if not entry.cell.missing]
        assert there and all(entry.verdict == "n/c" and "another model (mine)" in entry.reason for entry in there)
        assert any(note.startswith("n/c, ") and "another model (mine)" in note for note in table.notes)
    (first,) = (table for table in report.tables if table.id == "1")
    assert all(entry.published is not None for entry in numbers(first) if not entry.cell.missing), "the average beside"
    jsonschema.validate(json.loads(render(report, "json")), json.loads(SCHEMA.read_text()))


def test_ranks() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == (1, 1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == (-1, -1)
    assert rank_correlation([1, 2], [1, 2]) is None and rank_correlation([1, 1, 1], [1, 2, 3]) is None


def test_the_average_of_qa_is_over_models_and_metrics() -> None:
    place = Place("2", AVERAGE, "absnarr", "secura", MEAN)
    parts = [SECURA.values[Place("10", model, "absnarr", "secura", metric)] for model in MODELS for metric in QA]
    assert SECURA.values[place] == pytest.approx(sum(parts) / 15, abs=0.01)
    assert len(EXP3_TASKS) == 16


def test_from_the_command_line(tmp_path) -> None:
    assert script().write(tmp_path / "r") == 435
    done = secura_bench("report", "r", "--against", "paper", "--table", "8", cwd=tmp_path)
    assert done.returncode == 0 and "Of 120 numbers: 119 same, 1 one seed." in re.sub(r"\s+", " ", done.stdout)
    assert "52.06 (64.06! −12.00 one seed)" in done.stdout


# Which arm stands in the paper's row, and how a verdict is told


def _arm(label: str, task: str = "absnarr", experiment: str = "exp2", **method) -> Run:
    """Return a run of SECURA of the paper's numbers, under another label and with other settings."""
    record = next(
        r
        for r in published_records()
        if (r.experiment, r.method["name"], r.model["label"], r.tasks) == ("exp2", "secura", "qwen2-7b", (task,))
    )
    changed = {**record.method, "label": label}
    for key, values in method.items():
        changed[key] = {**record.method[key], **values}
    return Run(record.model_copy(update={"name": f"{experiment}-{label}", "experiment": experiment, "method": changed}))


def test_the_papers_row_is_the_arm_of_its_settings_and_others_say_so() -> None:
    runs = [
        _arm("secura-swept", train={"lr": 1e-2}),
        _arm("secura-public_code", options={"signorm": "public_code"}),
        _arm("secura-m2", options={"merge": "m2"}),
        _arm("secura"),
    ]
    (table,) = published_tables(SECURA, make_studies(runs), ["10"], against=True)
    found = by_label(table)
    assert found["secura"].verdict == "same"
    for other in ("secura-swept", "secura-public_code", "secura-m2"):
        assert found[other].verdict == "n/c" and found[other].published is None
        assert "not the paper's setting: its number stands beside secura" in found[other].reasons
    (nearest,) = published_tables(SECURA, make_studies(runs[:1]), ["10"], against=True)
    assert by_label(nearest)["secura-swept"].reason == "other training (lr 0.01, not 0.001)", "where it is the only one"
    assert by_label(nearest)["secura-swept"].published is not None


def test_an_ablation_has_a_row_a_value_and_names_what_it_leaves_out() -> None:
    steps = [(f"secura-{step}", {"fusion_step": step}) for step in (200, 20, 1)]
    runs = [_arm(label, experiment="fusion", options=options) for label, options in steps]
    runs += [_arm("swept", experiment="fusion", train={"lr": 1e-2}), _arm("secura")]
    (table,) = published_tables(SECURA, make_studies(runs), ["3"], against=True)
    assert [row.entries[1] for row in table.rows] == ["base", *(f"secura fusion_step={n}" for n in (1, 200, 20))]
    assert by_label(table)["secura fusion_step=20"].reasons == ("the paper has no number here",)
    notes = " ".join(table.notes)
    assert "another arm stands in the row: swept." in notes and "not shown: exp2 on qwen2-7b" in notes


def test_a_study_called_as_the_experiment_comes_before_its_variants() -> None:
    for order in ((0, 1), (1, 0)):
        runs = [_arm("secura"), _arm("secura", experiment="exp2-other", train={"lr": 1e-2})]
        (table,) = published_tables(SECURA, make_studies([runs[i] for i in order]), ["10"], against=True)
        assert by_label(table)["secura"].verdict == "same"
        assert any("not shown: exp2-other on qwen2-7b" in note for note in table.notes)


def test_limited_test_rows_are_a_reason_where_tasks_are_scored() -> None:
    record = next(r for r in published_records() if r.experiment == "exp1" and r.method["name"] == "lora")
    studies = make_studies([Run(record.model_copy(update={"limit": 50}))])
    (table, *_) = published_tables(SECURA, studies, ["8", "9"], against=True)
    assert {e.reason for e in numbers(table) if not e.cell.missing} == {"test rows limited to 50"}


def test_every_cell_has_a_verdict_and_reasons_are_said_once() -> None:
    def mine(record: RunRecord) -> Run:
        method = {**record.method, "train": {**record.method["train"], "steps": 60 if len(record.tasks) == 1 else 2000}}
        changes = {"method": method} if method["name"] == "lora" else {}
        return Run(record.model_copy(update={"model": {"label": "mine", "identity": "x"}, "limit": 50, **changes}))

    runs = [
        mine(record)
        for record in published_records()
        if record.model["label"] == "qwen2-7b"
        and (record.tasks[0] != "langid" or record.method["name"] == "secura")
        and not (record.experiment == "exp2" and record.tasks == ("trackobj",))
    ]
    report = make_report(runs, against=SECURA)
    for table in report.tables:
        assert all(entry.verdict and (entry.reasons or entry.verdict == "same") for entry in numbers(table))
        for entry in numbers(table):
            assert entry.published is not None or "the paper has no number here" in entry.reasons
        reasons = {reason for e in numbers(table) if e.verdict == "n/c" for reason in e.reasons}
        for reason in reasons:
            assert sum(reason in note for note in table.notes) == 1
    ten = next(table for table in report.tables if table.id == "10")
    assert not any(column.group == "trackobj" for column in ten.columns), "nothing to show and nothing published"
    assert any(note.startswith("EXP2: nothing was trained on trackobj,") for note in ten.notes)
    text = render(report, "markdown")
    assert "another model" in text and "n/c a)" in text.replace("\\", "")
    jsonschema.validate(json.loads(render(report, "json")), json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize(
    ("method", "count", "verdict", "reason"),
    [
        ("secura", 120_000.0, "same", ""),
        ("lora", 131_072.0, "same", ""),
        ("lora", 106_496.0, "other", "other modules than the paper's two of 4096×4096"),
        ("cur_lora", 45_000.0, "other", "the paper counts U twice"),
        ("seq", 251_000_000.0, "n/c", "the paper has no number here"),
    ],
)
def test_parameters_have_a_verdict(method, count, verdict, reason) -> None:
    published_counts = {"secura": 120_000, "lora": 131_000, "cur_lora": 90_000}
    run = _arm(method)
    parameters = {"per_layer": count, "trainable": count, "published_per_layer": published_counts.get(method)}
    changes = {"method": {**run.record.method, "name": method, "options": {}}, "parameters": parameters}
    studies = make_studies([Run(run.record.model_copy(update=changes))])
    (table,) = published_tables(SECURA, studies, ["7"], against=True)
    entry = by_label(table)[method]
    assert (entry.verdict, entry.reason) == (verdict, reason) and entry.published == published_counts.get(method)
    (plain,) = published_tables(SECURA, studies, ["7"], against=False)
    assert any(column.heading == "published" for column in plain.columns)
    assert all(not entry.verdict for entry in numbers(plain))


def test_a_comparison_is_drawn_without_a_difference_that_says_nothing() -> None:
    from secura_bench.report.formats.text import entry
    from secura_bench.report.study.cells import Cell
    from secura_bench.report.tables.table import Column

    def drawn(**of) -> str:
        return entry(Column("c"), Number(Cell(62.456), **of))

    assert drawn(published=8.1, difference=54.36, verdict="higher") == "62.46 (8.10 +54.36 higher)"
    assert drawn(published=8.1, difference=54.36, verdict="n/c", marks="bd") == "62.46 (8.10 n/c bd)"
    assert drawn(verdict="n/c", marks="a") == "62.46 (n/c a)"
    assert entry(Column("c"), Number(Cell(), verdict="not run")) == "–"
    assert entry(Column("c"), Number(Cell(), published=8.1, verdict="not run")) == "– (8.10 not run)"
