"""Whose row a run fills, which runs are left out of the paper's tables, and what a comparison comes to."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from paper_records import (
    MODEL,
    SECURA,
    TABLE,
    by_label,
    changed,
    compared_in,
    numbers,
    other,
    published,
    record_of,
    renamed,
    table_of,
)

from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.files import write_atomically
from secura_bench.publications.place import Place
from secura_bench.report.against.tables import published_tables
from secura_bench.report.against.verdicts import VERDICTS, beside
from secura_bench.report.formats.document import SCHEMA
from secura_bench.report.make import make_report, render
from secura_bench.report.statistics import Interval
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run
from secura_bench.results.folder import items_file
from secura_bench.results.record import RunRecord

# Whose row it is


@pytest.mark.parametrize("name", ["seq", "stack", "cabr_lora", "my_plugin"])
def test_a_label_fills_no_row_of_the_papers(name) -> None:
    record = record_of("exp2", "secura")
    for options in ({}, record.method["options"] if name in ("stack", "my_plugin") else {}):
        labelled = renamed(record, name=name, label="secura", options=options)
        table = table_of([labelled], "10")
        rows = [row.entries[2] for row in table.rows if row.of["method"] == "secura"]
        published = next(entry for entry in rows if entry.published is not None)
        assert published.verdict == "not run" and published.cell.missing
        assert any(not entry.cell.missing and entry.published is None for entry in rows), "the arm has a row of its own"
        both = table_of([labelled, renamed(record, label="mine")], "10")
        assert by_label(both)["mine"].verdict == "same" and by_label(both)["secura"].published is None


def test_methods_that_share_a_label_are_no_seeds_of_one_arm() -> None:
    record = record_of("exp3", "seq")
    table = table_of([record, renamed(record, name="my_plugin", label="seq")], "11")
    groups = [column.group for column in table.columns[2:]]
    assert {"seq name=seq", "seq name=my_plugin"} <= set(groups)
    assert {entry.verdict for entry in compared_in(table)} == {"same"}


def test_a_plugin_built_on_secura_has_no_published_count() -> None:
    mine = renamed(_counted("secura"), name="my_plugin", label="secura")
    for record, verdict in ((_counted("secura"), "same"), (mine, "n/c")):
        (table,) = published_tables(SECURA, make_studies([Run(record)]), ["6"], against=True)
        assert by_label(table)["secura"].verdict == verdict


def _counted(method: str) -> RunRecord:
    counts = {"per_layer": 120_000.0, "published_per_layer": 120_000.0, "trainable": 120_000}
    return other(record_of("exp3", method), parameters=counts)


# Odd runs


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (lambda r: other(r, limit=20), "limit 20, not unset"),
        (lambda r: other(r, precision="fp32"), "precision fp32, not bf16"),
        (lambda r: other(r, context=64), "context 64, not 600"),
        (lambda r: other(r, mode="sequence"), "mode sequence, not separate"),
        (lambda r: other(r, probe_parts=("arc_c",)), "other rows of the probe"),
        (lambda r: other(r, model={"label": MODEL, "identity": "0"}), "another model of that name"),
        (lambda r: other(r, scores=tuple(s.model_copy(update={"protocol": "generate"}) for s in r.scores), limit=1),
         "no teacher_forced scores"),
        (lambda r: changed(r, "options", alpah=640), "options.alpah: unknown key 'alpah'"),
        (lambda r: changed(r, "options", r=[8]), "options.r: "),
        (lambda r: changed(r, "train", precision=["fp4"]), "train.precision: "),
        (lambda r: changed(r, "train", gradient_checkpointing=0), "train.gradient_checkpointing: "),
    ],
)  # fmt: skip
def test_an_odd_run_is_left_out_by_name_and_the_others_stay(odd, reason) -> None:
    whole = [r for r in published() if r.experiment == "exp2" and r.model["label"] == MODEL]
    strange = odd(record_of("exp2", "lora"))
    for records in ([strange, *whole], [*whole, strange]):
        table = table_of(records, "10")
        compared = compared_in(table)
        assert len(compared) == 120 and {entry.verdict for entry in compared} == {"same"}
        (line,) = (note for note in table.notes if note.startswith("Left out ("))
        assert reason in line and f"{strange.name}-{strange.fingerprint}" in line


def test_an_odd_option_of_an_ablation_is_no_traceback() -> None:
    record = record_of("exp2", "secura")
    table = table_of(
        [record, changed(record, "options", merge=["m1"]), changed(record, "options", fusion_step={})], "3"
    )
    assert {entry.verdict for entry in compared_in(table)} == {"same"}
    assert sum(note.startswith("Left out (options.") for note in table.notes) == 2


def test_an_arm_of_one_model_does_not_empty_the_average() -> None:
    whole = [r for r in published() if r.experiment == "exp2"]
    swept = changed(record_of("exp2", "lora", model="gemma2-2b"), "train", lr=0.5)
    for records in ([swept, *whole], [*whole, swept]):
        compared = compared_in(table_of(records, "2"))
        assert len(compared) == 40 and {entry.verdict for entry in compared} == {"same"}


def test_an_arm_on_one_task_does_not_empty_the_row_of_one_on_all() -> None:
    whole = [r for r in published() if (r.experiment, r.model["label"], r.method["name"]) == ("exp2", MODEL, "secura")]
    in_bf16 = [changed(record, "train", precision="bf16_pure") for record in whole]  # as the code, and not the paper
    assert len([e for e in compared_in(table_of([*in_bf16, whole[0]], "10")) if e.verdict == "same"]) == 24
    short = [changed(record, "train", steps=60, lr=0.5) for record in whole]
    assert len(compared_in(table_of([*short, changed(whole[0], "train", steps=60)], "10"))) == 24
    assert [e.verdict for e in compared_in(table_of([*short, whole[0]], "10"))] == ["same"] * 3


def _seeds(record: RunRecord, values: list[dict[str, float | None]], **last: Any) -> list[RunRecord]:
    """Return a run a seed, of these numbers; ``last`` changes the last one's record."""
    made = []
    for seed, found in enumerate(values):
        scores = tuple(s.model_copy(update={"values": {**s.values, **found}}) for s in record.scores)
        made.append(other(record, seed=seed, scores=scores, name=f"{record.name}-s{seed}"))
    return [*made[:-1], made[-1].model_copy(update=last)]


def test_a_seed_without_a_number_is_left_out_by_name() -> None:
    record = record_of("exp2", "lora")
    gone = {"char_bleu": None, "rouge1": None, "rougeL": None}
    table = table_of(_seeds(record, [{}, {}, gone]), "10")
    assert len(compared_in(table)) == 3 and all(entry.cell.seeds == (0, 1) for entry in compared_in(table))
    left = [note for note in table.notes if note.startswith("Left out (no number of f_task for ")]
    assert len(left) == 3 and all(f"{record.name}-s2" in note for note in left)
    alone = table_of([*_seeds(record, [gone]), record_of("exp2", "dora")], "10")
    assert by_label(alone)["lora"].verdict != "same" and by_label(alone)["lora"].cell.missing, "a gap stays one"


@pytest.mark.parametrize("experiment", ["exp2", "exp3"])
def test_a_seed_on_other_rows_is_left_out_by_name(experiment) -> None:
    record = record_of(experiment, "secura")
    few = {name: note.model_copy(update={"train_rows": 10}) for name, note in record.data.items()}
    table = table_of(_seeds(record, [{}, {"char_bleu": 0.0}], data=few), TABLE[experiment])
    assert {entry.verdict for entry in compared_in(table)} == {"same"}
    (line,) = (note for note in table.notes if note.startswith("Left out (10 rows to train on"))
    assert f"{record.name}-s1" in line


def test_a_seed_that_diverged_does_not_shorten_the_others() -> None:
    record = record_of("exp3", "secura")
    half = record.scores[: len(record.scores) // 2]
    table = table_of(_seeds(record, [{}, {}], scores=half, status="diverged"), "11")
    assert len(table.rows) == 32 and all(not row.entries[-1].cell.missing for row in table.rows)
    assert any(note.startswith("Left out (diverged): ") for note in table.notes)


def test_a_run_on_another_sequence_is_left_out_by_name() -> None:
    record = record_of("exp3", "secura")
    turned = other(record, tasks=record.tasks[::-1])
    table = table_of([turned, record], "11")
    assert {entry.verdict for entry in compared_in(table)} == {"same"}
    assert f"Left out (another sequence of tasks): {turned.name}-{turned.fingerprint}." in table.notes


# Verdicts


@pytest.mark.parametrize(
    ("off", "predicted", "seeds", "verdict"),
    [
        (0.004, None, (1,), "same"),
        (0.004, Interval(0.0, 1.0), (1, 2), "same"),
        (1.0, None, (1,), "one seed"),
        (1.0, None, (1, 2), "no interval"),
        (1.0, Interval(-1.5, 3.5), (1, 2), "within"),
        (1.0, Interval(0.5, 1.5), (1, 2), "higher"),
        (-1.0, Interval(-1.5, -0.5), (1, 2), "lower"),
    ],
)
def test_a_verdict_is_of_the_prediction_interval(off, predicted, seeds, verdict) -> None:
    place = Place("10", MODEL, "absnarr", "lora", "char_bleu")
    value = SECURA.values[place]
    shifted = predicted and Interval(value + predicted.low, value + predicted.high)
    narrow = Interval(value + off - 0.01, value + off + 0.01)  # of the mean, which says nothing of the next run
    cell: Any = SimpleNamespace(
        value=value + off, missing=False, predicted=shifted, interval=narrow, seeds=seeds, why="", items_only=False
    )
    found = beside(SECURA, cell, place, [])
    assert found.verdict == verdict and found.difference == pytest.approx(off)


def _with_items(record: RunRecord, seed: int, off: float, folder: Path) -> Run:
    """Return a run of another seed whose items scatter about the printed number and ``off``."""
    (score,) = record.scores
    draw = random.Random(seed)
    columns = {metric: [value + off + draw.gauss(0, 1) for _ in range(60)] for metric, value in score.values.items()}
    means = {metric: sum(values) / len(values) for metric, values in columns.items()}
    mine = other(record, seed=seed, scores=(score.model_copy(update={"values": means, "n": 60}),))
    for number, part in enumerate(record.probe_parts):
        rows = slice(20 * number, 20 * number + 20)
        items = {"id": [f"{i}" for i in range(20)], **{metric: values[rows] for metric, values in columns.items()}}
        write_atomically(folder / str(seed) / items_file(mine.scores[0], part), json.dumps(items))
    return Run(mine, folder / str(seed))


@pytest.mark.parametrize(("off", "verdict"), [(4.0, "within"), (-4.0, "within"), (20.0, "higher"), (-20.0, "lower")])
def test_a_number_a_little_off_is_what_one_more_run_would_give(tmp_path, off, verdict) -> None:
    record = record_of("exp2", "secura")
    seeds = (-4.0, -3.0, -2.0, -0.5, 0.5, 2.0, 3.0, 4.0)  # of one more run ±7.6, of their mean ±2.5
    runs = [_with_items(record, seed, off + shift, tmp_path) for seed, shift in enumerate(seeds)]
    (table,) = published_tables(SECURA, make_studies(runs), ["10"], against=True)
    assert len(compared_in(table)) == 3
    for entry in compared_in(table):
        if entry.cell.predicted is None:
            pytest.skip("Cell.predicted says nothing here yet")
        assert entry.cell.interval is not None and entry.published not in entry.cell.interval
        assert entry.verdict == verdict and not entry.reasons


def test_one_seed_says_so_under_the_table_and_in_every_format() -> None:
    record = record_of("exp2", "lora")
    report = make_report([Run(r) for r in _seeds(record, [{"char_bleu": 5.0}])], ["10"], against=SECURA)
    (entry,) = (e for t in report.tables for e in numbers(t) if e.verdict == "one seed")
    assert entry.difference == pytest.approx(5.0 - SECURA.values[Place("10", MODEL, "absnarr", "lora", "char_bleu")])
    assert any("one seed here: whether by chance cannot be said" in note for note in report.tables[0].notes)
    schema = json.loads(SCHEMA.read_text())
    jsonschema.validate(json.loads(render(report, "json")), schema)
    assert set(schema["$defs"]["number"]["properties"]["verdict"]["enum"]) == set(VERDICTS)


def test_where_every_run_is_left_out_the_reasons_are_said() -> None:
    runs = [Run(changed(record, "options", unheard_of=1)) for record in published()[:40]]
    with pytest.raises(
        BenchError, match=r"Left out \(options.unheard_of: unknown key 'unheard_of'\): .* and 37 more\."
    ):
        make_report(runs, against=SECURA)
    (counts,) = make_report([*runs, Run(_counted("seq"))], ["10", "6"], against=SECURA).tables
    assert counts.id == "6" and any(note.startswith("Left out (options.unheard_of: ") for note in counts.notes)
