"""What was kept by a protocol that scores no trained task, beside what was learned by another."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from gridded import write_grid
from perplexed import add_perplexity

from secura_bench.report.comparing.at_equal_learning import limits_of, sentence_of
from secura_bench.report.comparing.curves import Curves, compared
from secura_bench.report.comparing.document import SCHEMA, document
from secura_bench.report.make import make_report, render
from secura_bench.report.page.curves import curves
from secura_bench.report.plots import make_pictures
from secura_bench.report.study.frontier import Frontier, every_frontier
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.nats import nats_of
from secura_bench.report.study.placing import learned_by
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_grid(tmp_path_factory.mktemp("grid"), probe_items=120, task_items=60, seeds=(1, 2, 3))
    add_perplexity(root)
    return root


@pytest.fixture(scope="module")
def study(records: Path) -> Study:
    (study,) = make_studies(read_runs([records])[0])
    return study


@pytest.fixture(scope="module")
def found(study: Study) -> Frontier:
    _, found = every_frontier(study)
    return found


def test_learning_is_told_by_what_scores_the_tasks(study: Study, found: Frontier) -> None:
    assert [each.id for each in (found.protocol, found.learning)] == ["perplexity", "generate"]
    assert found.learned.id == "accuracy" and found.in_percent
    own, metric = learned_by(study, PROTOCOLS["generate"])
    assert (own.id, metric.id) == ("generate", "accuracy")


def test_the_mean_of_the_items_is_the_tables_own_number(study: Study, found: Frontier) -> None:
    for line in found.lines:
        for placing, kept, point in zip(line.placings, line.kept, line.points or (), strict=True):
            (arm,) = placing.arms
            table = study.retention(arm, "perplexity", "perplexity")
            assert kept.value == table.value
            mean = study.probe(arm, "perplexity", "perplexity").value
            assert math.exp(point.kept.value) == pytest.approx(mean, rel=1e-9), "mean over seeds of the perplexities"
            (base,) = study.base.runs if study.base else ()
            (under,) = (s for s in base.record.scores if s.protocol == "perplexity" and s.role == "probe")
            assert under.values["perplexity"] == pytest.approx(table.value * mean / 100)


def test_the_gap_lies_between_what_both_keep(found: Frontier) -> None:
    lora, secura = found.lines
    gap = found.gap(secura, lora)
    assert gap and gap.interval and gap.p is not None
    low, high = found.common(secura, lora) or (math.nan, math.nan)
    dense = np.linspace(low, high, 20_001)
    points = [
        np.array([(each.learned.value, kept.value) for each, kept in zip(line.placings, line.kept, strict=True)])
        for line in (secura, lora)
    ]
    points[1] = points[1][:3]  # the last is past the curve's end
    area = np.trapezoid(np.interp(dense, *points[0].T) - np.interp(dense, *points[1].T), dense) / (high - low)
    assert gap.value == pytest.approx(area, abs=0.05)
    assert gap.interval.low < gap.value < gap.interval.high and 0 < gap.p < 0.05


def test_the_sentence_says_by_what_each_is_told(study: Study) -> None:
    made, _ = compared([study], "secura", "lora")
    one: Curves = made[1]
    assert one.protocol.id == "perplexity"
    said = sentence_of(one)
    assert ", by perplexity, at equal learning secura keeps more than lora:" in said
    assert " (generate acc), by 4 settings" in said
    limits = list(limits_of(one))
    assert "anything about what the models write: perplexity is of given text" in limits
    whole = json.loads(document([], [], made))
    jsonschema.validate(whole, json.loads(SCHEMA.read_text()))
    assert whole["at_equal_learning"][1]["learned_by"] == {"protocol": "generate", "metric": "accuracy"}


def test_table_picture_and_page_have_the_curve(records: Path, study: Study) -> None:
    made = make_report(read_runs([records])[0], ["frontier"])
    table = made.tables[1]
    assert " · perplexity · probe f_probe · at equal learning by generate acc, less lora" in table.title
    assert "learned (generate acc, right after training)" in " ".join(map(str, table.notes))
    names = [picture.name for picture in make_pictures(study)]
    assert "frontier-perplexity" in " ".join(names)
    drawn = curves(study, PROTOCOLS["perplexity"])
    assert [line["name"] for line in drawn["lines"]] == ["lora", "secura"] and drawn["by"] == "generate acc"
    assert drawn["before"]["v"] is not None
    assert "generate acc" in render(made, "html")


def test_texts_that_are_not_all_there_are_no_sample(records: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(records, again)
    for file in again.glob("*/secura-lr-0.001-*/evals/*/perplexity/**/facts*.json"):
        whole = json.loads(file.read_text())
        file.write_text(json.dumps({**whole, "loss": whole["loss"][:-1]}))
    (less,) = make_studies(read_runs([again])[0])
    _, lacking = every_frontier(less)
    assert lacking.lines[1].points is None and lacking.lines[0].points is not None
    gap = lacking.gap(*lacking.lines)
    assert gap and gap.interval is None and gap.p is None
    arm = next(arm for arm in less.arms if arm.method == "secura-lr-0.001")
    assert nats_of(less.score_keys([arm], "perplexity", "perplexity", "probe")) is None
