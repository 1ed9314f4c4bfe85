"""A stranger's slips in a publication's YAML and CSV: each is one line that names file, line and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from secura_bench.foundation.errors import SpecError
from secura_bench.publications.publication import read

_YAML = """\
title: Mine
source: mine
protocol: generate
models: {tiny: Tiny-1B}
tasks: {tiny_count: count, tiny_group: group}
metrics: {accuracy: {}}
methods: {lora: {printed: LoRA}, ewc: {printed: EWC}}
experiments: {two: {mode: separate, sequence: [tiny_count, tiny_group]}}
tables:
  one:
    caption: accuracy
    layout: scores
    file: mine.csv
    columns: {method: method, task: task}
    fixed: {model: tiny, metric: accuracy}
    values: {accuracy: {}}
    parts: [{experiment: two}]
shares: {tiny_group: [[1, 4], [3, 4]]}
"""
_CSV = b"method,task,accuracy\nLoRA,count,81.2\nEWC,group,25.0\n"
_SHARES = "[[1, 4], [3, 4]]"
_COLUMNS = "columns: {method: method, task: task}"


def _read(folder: Path, text: str = _YAML, numbers: bytes = _CSV) -> dict[str, float]:
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    (folder / "mine.csv").write_bytes(numbers)
    return {f"{place.method} {place.task}": value for place, value in read(folder / "mine.yaml").values.items()}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("protocol: generate", "protocol: genarate", r":3: protocol: unknown protocol 'genarate'. Did you mean 'gen"),
        ("{accuracy: {}}\nm", "{accuracy: {protocol: generat}}\nm", r":6: metrics.accuracy.protocol: unknown protocol"),
        ("printed: EWC", "printed: LoRA", r":7: methods.ewc: 'LoRA' is what lora is printed as already\."),
        (
            "mode: separate, ",
            "",
            r":17: tables.one.parts.0.experiment: scores is of tasks that are trained each alone, and those of two are "
            r"one after another \(mode: sequence\); stages, matrix or methods would do\.",
        ),
        ("    values: {accuracy: {}}\n", "", r"tables.one.values: this key is required and missing: the columns of"),
        ("scores", "matrix", r":12: tables.one.layout: matrix needs the after of each number: say it in 'columns'\."),
        ("task: task}", "after: task}", r":12: tables.one.layout: scores needs the task of each number"),
        ("task: task}", "task: task, step: task}", r"scores has no place for a number's step; stages has one"),
        ("layout: scores", "layout: scores\n    scale: 0", r":13: tables.one.scale: input should be greater than 0"),
        ("layout: scores", "layout: scores\n    digits: -1", r":13: tables.one.digits: input should be greater"),
        ("layout: scores", "layout: scores\n    scales: {acc: 1}", r":13: tables.one.scales: unknown metric 'acc'"),
        ("layout: scores", "layout: scores\n    only: {task: three}", r"holds no number whose task is as 'only' says"),
        (_COLUMNS, "patterns: {task: '('}", r":14: tables.one.patterns.task: '\(' is no regular expression of RE2"),
        (_COLUMNS, "patterns: {task: '(?P<tsk>.*)'}", r"unknown group 'tsk'. Did you mean 'task'\?"),
        ("mine.csv", "mein.csv", r"tables.one.file: .*mein.csv: No such file or directory. Did you mean .*mine.csv"),
        (
            _SHARES,
            "[[1, 4], [1, 4]]",
            r":18: shares.tiny_group: the shares of all classes make one, and 1/4 \+ 1/4 does",
        ),
        (_SHARES, "[[1, 0], [3, 4]]", r":18: shares.tiny_group: each share is \[ROWS, OF ALL\], not more than all"),
        (_SHARES, "[]", r":18: shares.tiny_group: the shares of all classes make one, and none does not"),
        ("{tiny_group: [", "{tiny_grup: [", r":18: shares.tiny_grup: unknown task 'tiny_grup'. Did you mean 'tiny_gro"),
        ("shares", "varied: {loar: {r: 8}}\nshares", r":18: varied.loar: unknown method 'loar'. Did you mean 'lora'"),
        ("shares", "metric_of: {a: acc}\nshares", r":18: metric_of.a: unknown metric 'acc'"),
        (
            "]\nshares",
            "]\n    follows: [{formula: gain, where: {task: x}}]\nshares",
            r"no number of the table has task 'x'",
        ),
    ],
)
def test_in_the_yaml(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in _YAML
    with pytest.raises(SpecError, match=said) as told:
        _read(tmp_path, _YAML.replace(old, new, 1))
    assert str(told.value).startswith(str(tmp_path)) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (_CSV.replace(b"81.2", b'"81,2"'), r"mine.csv:2: accuracy '81,2' is no number; write it as 81.2, or leave"),
        (_CSV.replace(b"81.2", b"81.2%"), r"mine.csv:2: accuracy '81.2%' is no number"),
        (_CSV.replace(b"81.2", b"8_1"), r"mine.csv:2: accuracy '8_1' is no number"),
        (_CSV.replace(b"81.2", b"nan"), r"mine.csv:2: accuracy 'nan' is no number"),
        (_CSV.replace(b"81.2", b"1e999"), r"mine.csv:2: accuracy '1e999' is no number"),
        (_CSV.replace(b"task,acc", b"accuracy,acc"), r"mine.csv:1: the column 'accuracy' stands here twice\."),
        (_CSV.replace(b"LoRA", b"L" * 200_000), r"mine.csv:2: is no CSV: field larger than field limit"),
        (b"", r"mine.csv:1: has no heading: a line with the names of the columns\."),
        (_CSV[:21], r"tables.one.file: .*mine.csv: holds no number\."),
        (_CSV.decode().encode("utf-16"), r"tables.one.file: .*mine.csv: is no UTF-8 text \(byte 0\)\.$"),
        (b"x" * (1 << 22 | 1), r"tables.one.file: .*mine.csv: has more than 4,194,304 bytes\.$"),
    ],
)
def test_in_the_csv(tmp_path: Path, numbers: bytes, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        _read(tmp_path, numbers=numbers)


@pytest.mark.parametrize("changed", [_CSV, b"\xef\xbb\xbf" + _CSV, _CSV.replace(b"\n", b"\r\n")])
def test_marks_of_order_and_other_line_ends_are_read(tmp_path: Path, changed: bytes) -> None:
    assert _read(tmp_path, numbers=changed) == {"lora tiny_count": 81.2, "ewc tiny_group": 25.0}
