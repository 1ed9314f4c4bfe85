"""`compare RESULTS METHOD base`: what one method learned and kept, in a sentence no stronger than its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from conftest import secura_bench
from synthetic import Character, write_records

from secura_bench.foundation.errors import BenchError
from secura_bench.report.comparing.beside_base import BesideBase, base_limits, base_sentence, base_table, beside_base
from secura_bench.report.comparing.document import SCHEMA
from secura_bench.report.make import make_report
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs
from secura_bench.report.tables.table import Number

METHODS = {
    "keeps": Character(0.9, 0.0),
    "forgets": Character(0.9, 0.5),
    "idle": Character(0.1, 0.0),
}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("records")
    return write_records(root, METHODS, ("colours", "counting"), (1, 2, 3), probe_items=120, protocols=("generate",))


def of(root: Path, name: str) -> BesideBase:
    (found,) = beside_base(make_studies(read_runs([root])[0]), name)
    return found


def test_the_sentence_says_what_the_intervals_do(records: Path) -> None:
    said = base_sentence(of(records, "forgets"))
    assert said.startswith(
        "On toy trained on colours and counting in sequence, by generate acc, forgets forgets: it keeps"
    )
    assert " of the base's f_probe, and learned: " in said and " points of acc more (" in said
    assert "keeps is not shown to forget: it keeps" in base_sentence(of(records, "keeps"))
    assert "and is not shown to have learned" in base_sentence(of(records, "idle"))


def test_the_numbers_are_those_of_the_report(records: Path) -> None:
    found = of(records, "forgets")
    (arm,) = found.study.arms
    learned, kept = (row.entries[1:] for row in base_table(found).rows)
    base, mine, gain = (entry.cell for entry in learned if isinstance(entry, Number))
    assert mine.value == found.study.learned(arm, "generate", "accuracy").value
    assert gain.value == pytest.approx(mine.value - base.value) and gain.interval
    _, share, loss = (entry.cell for entry in kept if isinstance(entry, Number))
    retention = found.study.retention(arm, "generate", "accuracy")
    assert (share.value, share.low) == (retention.value, retention.low)
    assert (loss.value, loss.high) == pytest.approx((retention.value - 100, retention.high - 100))


def test_what_may_not_be_claimed(records: Path, tmp_path: Path) -> None:
    limits = list(base_limits(of(records, "keeps")))
    assert any(limit.startswith("that it forgets nothing: ") for limit in limits)
    assert not any("one seed" in limit for limit in limits)
    assert "that it keeps in spite of learning: it was not shown to learn at all" in base_limits(of(records, "idle"))
    write_records(tmp_path, {"once": Character(0.9, 0.5)}, ("colours",), (1,), mode="separate", protocols=("generate",))
    once = of(tmp_path, "once")
    assert "in this run once forgot: it kept" in base_sentence(once) and "items only" in base_sentence(once)
    assert "anything for the method: once has one seed" in next(base_limits(once))
    for path in tmp_path.glob("*/once*/record.json"):
        whole = json.loads(path.read_text())
        whole["method"]["name"] = "checkpoint"
        path.write_text(json.dumps(whole))
    given = of(tmp_path, "once")
    assert ", once forgets: it keeps" in base_sentence(given), "it is one model, of which nothing else was drawn"
    assert base_sentence(given).startswith("On toy scored on colours, by"), "on what others trained it is not known"
    (table,) = make_report(read_runs([tmp_path])[0], ["retention"]).tables
    assert " · scored on colours · " in table.title
    assert next(base_limits(given)).startswith("anything for the method by which once was trained: it is one model")


def test_the_command_takes_base_on_either_side(records: Path, tmp_path: Path) -> None:
    said = [
        secura_bench("compare", str(records), *words, cwd=tmp_path) for words in (("keeps", "base"), ("base", "keeps"))
    ]
    assert said[0].stdout == said[1].stdout and said[0].returncode == 0
    assert "keeps beside the base" in said[0].stdout and "To quote:" in said[0].stdout
    done = secura_bench("compare", str(records), "keeps", "base", "--format", "json", cwd=tmp_path)
    whole = json.loads(done.stdout)
    jsonschema.validate(whole, json.loads(SCHEMA.read_text()))
    (one,) = whole["beside_base"]
    assert one["sentence"] == base_sentence(of(records, "keeps")) and one["kept_percent"]["value"] > 90
    with pytest.raises(BenchError, match=r"unknown method 'kepes'\. Did you mean 'keeps'"):
        of(records, "kepes")
