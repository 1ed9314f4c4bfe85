"""Tasks of kind classify: their labels, pairs and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.tasks.fetched import FetchedLine
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.sources import _row, read_rows

TASK = """\
id: pairs
title: Pairs
licence: Apache-2.0
kind: classify
labels: [different, same]
file:
  path: {path}
  columns:
    prompt: "{{{{ one }}}}"
    pair: "{{{{ two }}}}"
    target: "{{{{ ['different', 'same'][label] }}}}"
"""


def task(tmp_path: Path, rows: list[dict[str, object]], text: str = TASK) -> TaskFile:
    """Return a task of ``rows``."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "pairs.yaml"
    path.write_text(text.format(path=tmp_path / "rows.jsonl"))
    return YamlFile.read(path).validate_as(TaskFile)


def test_labels_are_the_rows_choices_and_pairs_are_kept(tmp_path: Path) -> None:
    file = task(tmp_path, [{"one": "a", "two": "b", "label": 1}, {"one": "c", "two": "d", "label": 0}])
    rows, _ = read_rows(file, 0)
    assert [(row.prompt, row.pair, row.target, row.answer_index) for row in rows] == [
        ("a", "b", "same", 1),
        ("c", "d", "different", 0),
    ]
    assert {row.choices for row in rows} == {("different", "same")}


def test_what_was_fetched_is_read_as_it_was(tmp_path: Path) -> None:
    rows, _ = read_rows(task(tmp_path, [{"one": "a", "two": "b", "label": 1}]), 0)
    line = FetchedLine.of(rows[0], "train", "hub:x@y", "none").text()
    assert _row("pairs", FetchedLine.read(json.loads(line), "x").parts("classify"), "x", 0) == rows[0]


def test_a_target_that_is_no_label_is_refused_by_its_line(tmp_path: Path) -> None:
    text = TASK.replace("['different', 'same'][label]", "label")
    file = task(tmp_path, [{"one": "a", "two": "b", "label": "same"}, {"one": "c", "two": "d", "label": "other"}], text)
    with pytest.raises(
        DataError, match=r"rows.jsonl:2: the target 'other' is none of the task's labels \(different, sa"
    ):
        read_rows(file, 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("labels: [different, same]", "labels: [same]", "needs 'labels', two at least"),
        ("labels: [different, same]", "labels: [same, same]", "needs 'labels', two at least and each once"),
        ("kind: classify\nlabels: [different, same]\n", "", "'pair' belongs to tasks of kind: classify"),
        ("kind: classify\n", "", "'labels' belong to tasks of kind: classify|'pair' belongs"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        task(tmp_path, [{"one": "a", "two": "b", "label": 1}], TASK.replace(old, new))
