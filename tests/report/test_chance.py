"""An accuracy no better than chance is nothing that could be kept, whether options are chosen or written."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from hand_records import column
from synthetic import Character, write_records

from secura_bench.report.comparing.pair import pairs
from secura_bench.report.make import make_report
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.kept import BY_CHANCE
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.speaking import speaking, told_by
from secura_bench.report.study.study import Study
from secura_bench.report.study.unread import RANDOM, Share, least


def with_choices(root: Path, base: float, chance: float | None, n: int = 60, options: int | None = None) -> Study:
    """Return a study of a probe whose rows (or so many of a part) have choices, and whose base has ``base`` % right."""
    write_records(root, {"one": Character(0.8, 0.2), "other": Character(0.5, 0.1)}, ("a", "b"), (1, 2), n, 60)
    for path in root.glob("*/base*/evals/*/generate/probe/*.json"):
        whole = json.loads(path.read_text())
        rows = len(whole["id"])
        right = round(base / 100 * rows)
        path.write_text(json.dumps({**whole, "accuracy": [100.0] * right + [0.0] * (rows - right)}))
    for path in root.glob("*/*/record.json"):
        whole = json.loads(path.read_text())
        for part in whole["probe_parts"]:
            whole["data"][part] |= {"probe_chance": chance, "probe_options": options}
        for score in whole["scores"]:
            if whole["method"]["name"] == "base" and score["protocol"] == "generate" and score["role"] != "task":
                score["values"]["accuracy"] = base
        path.write_text(json.dumps(whole))
    (study,) = make_studies(read_runs([root])[0])
    return study


@pytest.mark.parametrize("base, chance, told", [(30.0, 25.0, False), (90.0, 25.0, True), (30.0, None, True)])
def test_what_is_written_to_a_question_with_options_must_be_above_chance(
    tmp_path: Path, base: float, chance: float | None, told: bool
) -> None:
    """18 of 60 right are more than none, and no more than who picks one of four options at random may have."""
    study = with_choices(tmp_path, base, chance)
    cell = study.retention(study.arms[0], "generate", "accuracy")
    assert (cell.why == "", cell.missing) == (told, not told)
    assert told or cell.why == BY_CHANCE
    metric, why = speaking(study, PROTOCOLS["generate"])
    assert (metric.id, why) == (("accuracy", "") if told else ("rouge1", BY_CHANCE))


def test_chance_is_of_the_rows_that_have_options(tmp_path: Path) -> None:
    """Of 30 rows a part, half of them with four options, who draws one has one in eight; by ``choice`` one in four."""
    study = with_choices(tmp_path, 30.0, 25.0, options=15)
    assert study.retention(study.arms[0], "generate", "accuracy").why == ""
    rows = study.data[study.parts_of("generate")[0]].probe_rows
    told = make_report(read_runs([tmp_path])[0], ["retention"]).tables
    table = next(t for t in told if t.of["protocol"] == "generate")
    assert column(table, "probe", "acc")["random choice"] == 25 * 15 / rows
    part = study.data[study.parts_of("generate")[0]]
    assert RANDOM.of_part(part, "choice") == Share(25.0, 15) and RANDOM.of_part(part, "generate").rows == rows
    assert least([Share(50.0, 10), Share(None, 30)]) == 12.5 and least([]) == 0


def test_few_rows_without_an_interval_are_held_against_chance_as_they_are(tmp_path: Path) -> None:
    study = with_choices(tmp_path, 20.0, 25.0, n=10)
    assert study.probe(study.base, "generate", "accuracy").interval is None
    assert study.retention(study.arms[0], "generate", "accuracy").why == BY_CHANCE


def test_tables_tell_kept_by_what_compare_tells_it_by(tmp_path: Path) -> None:
    study = with_choices(tmp_path, 30.0, 25.0)
    found = next(pair for pair in pairs([study], "one", "other", 2.0) if pair.protocol.id == "generate")
    report = make_report(read_runs([tmp_path])[0], ["retention", "continual"])
    retention, continual = (
        next(t for t in report.tables if t.id == name and t.of["protocol"] == "generate")
        for name in ("retention", "continual")
    )
    said = "Kept is told by R-1: by acc, the base is not told apart from chance."
    kept = partial(column, retention, "kept", "%")
    assert kept()["one"] == pytest.approx(found.one.retention.value) and found.metric.id == "rouge1"
    assert column(continual, "", "kept %")["one"] == kept()["one"]
    assert said in retention.notes and said in continual.notes
    assert any("probe R-1 / base's probe R-1" in note for note in retention.notes)


def nothing_known(root: Path, blind: tuple[str, ...]) -> Study:
    """Return a study whose base has nothing of the probe; by the metrics ``blind`` nobody has anything of one task."""
    write_records(root, {"one": Character(0.8, 0.2), "other": Character(0.5, 0.1)}, ("a", "b"), (1,), 60, 60)
    for path in root.glob("*/*/record.json"):
        whole = json.loads(path.read_text())
        for score in whole["scores"]:
            if whole["method"]["name"] == "base" and score["role"] != "task":
                score["values"] = dict.fromkeys(score["values"], 0.0)
            if score["task"] == "a":
                score["values"] |= dict.fromkeys(blind, 0.0)
        path.write_text(json.dumps(whole))
    (study,) = make_studies(read_runs([root])[0])
    return study


@pytest.mark.parametrize(
    ("blind", "tells"), [((), "accuracy"), (("accuracy",), "rouge1"), (("accuracy", "rouge1", "rougeL"), "accuracy")]
)
def test_where_nothing_is_kept_by_any_metric_one_speaks_that_tells_of_every_task(
    tmp_path: Path, blind: tuple[str, ...], tells: str
) -> None:
    """Nobody has a translation right: by accuracy it would be learned by none."""
    study = nothing_known(tmp_path, blind)
    metric, why = speaking(study, PROTOCOLS["generate"])
    assert metric.id == tells and (why == "the base scores 0") == (tells != "accuracy")
    said = ("Nothing is said to be kept: by acc, the base scores 0.",) if why else ()
    assert told_by(study, PROTOCOLS["generate"]) == said
