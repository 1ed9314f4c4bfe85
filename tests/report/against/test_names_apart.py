"""Names that a publication has and this bench has not, and metrics that it calls by another name."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_runs import run_of

from secura_bench.publications.publication import Publication, publication, read
from secura_bench.report.against.unmatched import unmatched
from secura_bench.report.make import make_report
from secura_bench.report.tables.table import Number

_YAML = """\
title: Mine
source: mine
protocol: generate
models: {tiny: Tiny-1B}
metrics: {acc: {metric: accuracy}, ppl: {metric: perplexity, protocol: perplexity, of: probe, better: lower}}
methods: {lora: {options: {r: 8}}}
experiments:
  two: {sequence: [tiny_count, tiny_group], train: {steps: 5}, probe: tiny_text}
tables:
  "1":
    caption: accuracy
    layout: matrix
    file: one.csv
    columns: {model: model, method: method, after: after, task: task}
    fixed: {metric: acc}
    values: {number: {}}
    parts: [{experiment: two}]
  "2":
    caption: perplexity
    layout: stages
    file: two.csv
    columns: {method: method, task: task, step: step}
    fixed: {model: tiny, metric: ppl}
    values: {number: {}}
    parts: [{experiment: two}]
"""
_ONE = "model,method,after,task,number\nTiny-1B,lora,tiny_count,tiny_count,50\nTiny-1B,lora,tiny_group,tiny_count,40\n"
_TWO = "method,task,step,number\nlora,tiny_count,5,7.0\nlora,tiny_group,5,9.5\n"


def _mine(folder: Path, *changes: tuple[str, str]) -> Publication:
    for name, text in (("mine.yaml", _YAML), ("one.csv", _ONE), ("two.csv", _TWO)):
        for old, new in changes:
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")
    return read(folder / "mine.yaml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("acc: {metric: accuracy}", "acc: {metric: acuracy}", "Not of this bench: metrics acuracy."),
        ("{lora: {", "{loar: {printed: lora, ", "Not of this bench: methods loar."),
        ("probe: tiny_text", "probe: tiny_txt", "Not of this bench: tasks tiny_txt."),
        ("count,50", "cuont,50", "Table 1: beside nothing stand 1 of 2 numbers, for their task: tiny_cuont."),
        ("B,lora", "B,LoRA", "Table 1: beside nothing stand 2 of 2 numbers, for their method: LoRA."),
        ("Tiny-1B,", "Tiny,", "Table 1: beside nothing stand 2 of 2 numbers, for their model: Tiny."),
        (
            "group,tiny_c",
            "gruop,tiny_c",
            "Table 1: beside nothing stand 1 of 2 numbers, for their task trained last: ti",
        ),
        ("group,5", "gruop,5", "Table 2: beside nothing stand 1 of 2 numbers, for their task: tiny_gruop."),
    ],
)
def test_what_stands_beside_nothing_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert unmatched(_mine(tmp_path)) == []
    (line,) = unmatched(_mine(tmp_path, (old, new)))
    assert line.startswith(said)


def test_of_those_that_ship_it_is_meant_so() -> None:
    assert unmatched(publication("curlora")) == unmatched(publication("secura")) == []
    assert unmatched(publication("trace")) == ["Not of this bench: methods rcl."]
    (line,) = unmatched(publication("peft"))
    assert "82 of 126 numbers, for their method" in line


def _entries(mine: Publication) -> dict[str, list[Number]]:
    scores = {("tiny_count", "tiny_count"): 50.0, ("tiny_group", "tiny_count"): 41.0}
    scores |= {("tiny_count", "probe"): 7.0, ("tiny_group", "probe"): 9.0}
    train = {"steps": 5, "lr": 1e-3}
    run = run_of("lora", scores, ("tiny_count", "tiny_group"), options={"r": 8}, train=train)
    tables = make_report([run], against=mine).tables
    numbers = {
        t.id: [e for row in t.rows for e in row.entries if isinstance(e, Number) and e.published] for t in tables
    }
    return {id_: [each for each in found if each.verdict] for id_, found in numbers.items()}


def test_a_metric_of_another_name_stands_beside_in_each_layout(tmp_path: Path) -> None:
    found = _entries(_mine(tmp_path))
    assert [(e.published, e.verdict) for e in found["1"]] == [(50.0, "same"), (40.0, "one seed")]
    assert [(e.published, e.verdict) for e in found["2"]] == [(7.0, "same"), (9.5, "one seed")]


def test_a_published_option_that_the_method_has_not_is_a_reason(tmp_path: Path) -> None:
    found = _entries(_mine(tmp_path, ("{r: 8}", "{r: 8, rank: 8}")))
    assert {e.reason for e in found["1"]} == {"published options that it does not have here (rank)"}
