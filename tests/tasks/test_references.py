"""References that are not an answer of the task's kind are refused when rows are read, and shown by data check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import real_model_and_data

from secura_bench.answers.options import alike, same_number
from secura_bench.answers.reference import read_reference
from secura_bench.checking.inspection import inspect
from secura_bench.foundation.errors import DataError
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.sources import read_rows

READ = [
    ("1e-05", "0.00001"),
    ("2e-05", "0.00002"),
    ("1e16", "10000000000000000"),
    (r"\frac{3}{4}", "0.75"),
    (r"$\frac{1}{3}$", "1/3"),
    ("10^3", "1000"),
    ("2 1/2", "2.5"),
    ("3 million", "3000000"),
    ("70{,}000", "70000"),
    ("1.000.000", "1000000"),
    ("1 000", "1000"),
    ("1'000", "1000"),
    ("1\u202f000", "1000"),
    ("eight", "8"),
    ("-3", "-3"),
    ("$18.50", "18.5"),
    ("18 dollars", "18"),
    ("50%", "50"),
    ("16 - 3 = <<16-3=13>>13 are left.\n#### 13", "13"),
    ("The sum is $3 + 4 = \\boxed{7}$.", "7"),
    ("3 + 4 = 7, so the answer is 7.", "7"),
    ("<think>3, or 4?</think>7", "7"),
    ("£2m", "2000000"),
    ("2 bn", "2000000000"),
    ("3 M", "3000000"),
    ("3 m", "3"),
    ("3 lakh", "300000"),
    ("1e5kg", "100000"),
    ("2 dozen", "24"),
    ("18 m^2", "18"),
    ("3 / 4", "0.75"),
    ("#### 5\n#### 5", "5"),
]
UNREAD = [
    "2024-05-06",
    "10:30",
    "none",
    "3 apples and 4 pears",
    "5-6",
    "3 + 4",
    "3 + 4 = 7",
    "1,5",
    "1/0",
    "5x",
    r"2\pi",
]
UNREAD += ["13 are left.\n#### none", "#### 5 or 6", "three quarters", "not 5", r"\sqrt{2}", "…"]
UNREAD += [
    "one of two",
    r"\boxed{5} or 6",
    r"\boxed{5}\boxed{6}",
    "#### 5\n#### 6",
    "The answer is 5. The answer is 6.",
]
UNREAD += ["|−5|", "5!", "0.333...", "18…", "COVID-19", "Room 5", "5 K", "2 dozens", "half of 10", r"0.\overline{3}"]


def task(folder: Path, rows: list[dict], **changes) -> TaskFile:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"q": f"question {i}", **row}) + "\n" for i, row in enumerate(rows)))
    columns = {"prompt": "{{ q }}", **changes.pop("columns", {"target": "{{ a }}"})}
    return TaskFile.model_validate(
        {"id": "t", "title": "T", "licence": "MIT", "file": {"path": str(path), "columns": columns}, **changes}
    )


@pytest.mark.parametrize(("text", "expected"), [*READ, *((text, None) for text in UNREAD)])
def test_a_reference_is_exactly_one_number(text: str, expected: str | None) -> None:
    assert read_reference("number", text) == expected


@pytest.mark.parametrize("text", UNREAD)
def test_what_is_not_one_number_is_refused_by_file_and_line(tmp_path: Path, text: str) -> None:
    wrong = task(tmp_path, [{"a": "1"}, {"a": text}], answer="number")
    with pytest.raises(DataError, match=r"rows.jsonl:2: the reference .* is not read as exactly one number .*'keep'"):
        read_rows(wrong, 10)
    rows, _ = read_rows(task(tmp_path, [{"a": "1"}, {"a": text}], answer="text"), 10)  # the way out
    assert [row.target for row in rows] == ["1", text]


CHOICES = {"choices": "options", "answer_index": "right"}


def test_a_task_of_choices_wants_options_that_can_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows.jsonl:1: has no options, as 'answer: choice' wants them"):
        read_rows(task(tmp_path, [{"a": "1"}], answer="choice"), 10)
    alone = [{"options": ["a b", "a  b"], "right": 0}]
    with pytest.raises(DataError, match="'a b' and 'a  b' differ in white space alone"):
        read_rows(task(tmp_path, alone, answer="choice", columns=CHOICES), 10)
    genes = [{"options": ["only SS", "only Ss"], "right": 0}]
    assert len(read_rows(task(tmp_path, genes, answer="choice", columns=CHOICES), 10)[0]) == 1
    assert alike(["only SS", "red", "only Ss"]) == ("only SS", "only Ss")
    assert alike(["red", "dark red"]) is None
    assert same_number(["5", "6", "five"]) == ("5", "five")
    assert same_number(["1/2", "0.5"]) == ("1/2", "0.5")
    assert same_number(["5", "50", "five apples"]) is None


def test_data_check_says_once_why_it_cannot_look_for_overlaps(tmp_path: Path, tiny, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("SECURA_BENCH_DATA", raising=False)
    (overlap,) = (line for line in inspect("tiny_arith", DataSpec(), tiny[1]) if line.startswith("  overlap"))
    assert overlap.startswith("  overlap    not looked at: arc_c, gsm8k, multipl_e (task 'arc_c': ")
    assert overlap.count("cannot be loaded") == 1


def test_data_check_shows_how_references_are_read(tmp_path: Path, tiny, monkeypatch) -> None:
    from secura_bench.data import dataset

    _, chat, _ = tiny

    def report(file: TaskFile) -> str:
        monkeypatch.setattr(dataset, "load_task", lambda name: file)
        return "\n".join(inspect("t", DataSpec(), chat, probe="tiny_arith"))

    numbers = [{"a": "1e-05" if i == 3 else str(i)} for i in range(20)]
    said = report(task(tmp_path, numbers, answer="number"))
    assert "references number: 20 of 20 read, as '1e-05' → 0.00001; " in said
    assert "would not be right" not in said
    said = report(task(tmp_path, numbers, answer="number", extract=r"Final: (\S+)"))
    assert "20 would not be right if a model wrote them word for word: " in said and "read as None" in said
    genes = [{"options": ["only SS", "only Ss"], "right": i % 2} for i in range(20)]
    said = report(task(tmp_path, genes, answer="choice", columns=CHOICES))
    assert "20 rows have options that case, quotes or a full stop alone tell apart: 'only SS' and 'only Ss'" in said
    halves = [{"options": ["1/2", "0.5"], "right": i % 2} for i in range(20)]
    said = report(task(tmp_path, halves, answer="choice", columns=CHOICES))
    assert "20 rows have options that are the same number, told apart by their text alone: '1/2' and '0.5'" in said


@pytest.mark.real
def test_every_reference_of_the_real_data_is_read_and_right() -> None:
    from secura_bench.evaluation.extraction import extract, is_right
    from secura_bench.tasks.catalog import load_task, task_files

    _, folder = real_model_and_data()
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem in task_files():
            file = load_task(path.stem)
            for row in read_rows(file, 10)[0]:
                assert is_right(file.answer, extract(file.answer, row.target, row), row), (row.id, row.target)
