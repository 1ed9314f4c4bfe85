"""Benchmarks whose authors release files: each layout is read, and what is asked is what the authors' code asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secura_bench.evaluation.extraction import extract, is_right
from secura_bench.tasks.catalog import expand, load_task
from secura_bench.tasks.row import Row
from secura_bench.tasks.sources import read_rows, read_test_rows

TRACE, OLORA = expand("trace"), expand("olora_order4")
LABELS = {  # as the repository's labels.json have them
    "amazon": ["very negative", "negative", "neutral", "positive", "very positive"],
    "agnews": ["World", "Sports", "Business", "Science or Technology"],
    "cb": ["entailment", "contradiction", "neutral"],
    "copa": ["A", "B"],
    "imdb": ["Good", "Bad"],
    "mnli": ["neutral", "entailment", "contradiction"],
    "multirc": ["False", "True"],
    "rte": ["contradiction", "entailment"],
    "wic": ["True", "False"],
}


@pytest.fixture
def released(tmp_path: Path, monkeypatch) -> Any:
    """Return what lays down a task's training and test rows where its authors' release has them, and reads them."""

    def lay_down(name: str, train: list[dict[str, str]], test: list[dict[str, str]]) -> tuple[list[Row], list[Row]]:
        task = load_task(name)
        monkeypatch.setenv("SECURA_BENCH_DATA", str(tmp_path))
        for source, rows in ((task.local, train), (task.test.local, test)):
            path = tmp_path / source.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rows, ensure_ascii=False))
        return read_rows(task, 1)[0], read_test_rows(task)[0]

    return lay_down


@pytest.mark.parametrize("name", TRACE)
def test_traces_rows_are_asked_as_they_are(name: str, released) -> None:
    answers = (
        ["Answer: B\nBecause it is so.", "Answer: A\nBecause it is not."] if name == "scienceqa" else ["立场 B", "2"]
    )
    rows = [{"prompt": f"Instruction.\n{i} <s> x\nAnswer:", "answer": answer} for i, answer in enumerate(answers)]
    train, test = released(name, rows, [{**rows[0], "prompt": "Another?"}])
    assert [(row.prompt, row.target) for row in train] == [(row["prompt"], row["answer"]) for row in rows]
    assert [row.prompt for row in test] == ["Another?"]


def test_trace_splits_are_files_of_one_folder() -> None:
    folders = ["C-STANCE", "FOMC", "MeetingBank", "Py150", "ScienceQA", "NumGLUE-cm", "NumGLUE-ds", "20Minuten"]
    for name, folder in zip(TRACE, folders, strict=True):
        task = load_task(name)
        place = f"TRACE-Benchmark/LLM-CL-Benchmark_5000/{folder}"
        assert (task.local.file, task.test.local.file) == (f"{place}/train.json", f"{place}/test.json")


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("Answer: B\nBecause 1 > 0.", True),
        ("Answer: B\nBecause Answer: A is not.", True),  # the first is read
        ("Answer: A", False),
        ("B", False),  # nothing stands behind "Answer: "
    ],
)
def test_scienceqa_reads_the_first_letter_behind_answer(released, said: str, right: bool) -> None:
    rows = [{"prompt": "Q?", "answer": "Answer: B\nBecause it is so."}]
    _, (row,) = released("scienceqa", rows, rows)
    task = load_task("scienceqa")
    assert is_right(task.answer, extract(task.answer, said, row, task.extract), row) is right


@pytest.mark.parametrize("name", OLORA)
def test_oloras_rows_have_their_labels_for_options(name: str, released) -> None:
    choices = LABELS.get(name) or list(read_choices(name, released))
    rows = [{"sentence": f"sentence {i}", "label": label} for i, label in enumerate(choices)]
    train, test = released(name, rows, rows[:1])
    assert [row.target for row in train] == choices
    assert {row.choices for row in train} == {tuple(choices)}
    assert [row.answer_index for row in train] == list(range(len(choices)))
    assert load_task(name).metric[0] == "exact_match"
    option = "" if name == "copa" else f"\nOption: {', '.join(choices)} \n"
    assert test[0].prompt.startswith("Task:") and test[0].prompt.endswith(f"{option}sentence 0\nAnswer:")


def read_choices(name: str, released) -> tuple[str, ...]:
    """Return the options of a task, by a row whose label is that of most of them."""
    first = {"dbpedia": "Company", "yahoo": "Sports", "yelp": "neutral", "qqp": "True", "boolqa": "True"}
    row = {"sentence": "x", "label": first.get(name, "Good")}
    return released(name, [row], [row])[0][0].choices


def test_oloras_prompt_is_the_authors(released) -> None:
    """As their collator puts it together with the names of task and data set before it, as their scripts ask for."""
    row = {"sentence": "sentence 1: It rains.\nsentence 2: It is wet.", "label": "entailment"}
    ((read,), _) = released("cb", [row], [row])
    assert read.prompt == (
        "Task:NLI\nDataset:CB\n"
        'What is the logical relationship between the "sentence 1" and the "sentence 2"? Choose one from the option.\n'
        "Option: entailment, contradiction, neutral \n"
        "sentence 1: It rains.\nsentence 2: It is wet.\nAnswer:"
    )
    ((plain,), _) = released("copa", [{"sentence": "Which?\nA: x\nB: y", "label": "B"}], [row | {"label": "A"}])
    assert plain.prompt == "Task:COPA\nDataset:COPA\nWhich?\nA: x\nB: y\nAnswer:"


def test_the_lists_are_orders_of_the_same_tasks() -> None:
    assert sorted(expand("trace_order2")) == sorted(TRACE)
    assert expand("trace_order2")[:4] == ("numglue_cm", "numglue_ds", "fomc", "twenty_minuten")
    short, long = (sorted(expand(f"olora_order{n}")) for n in (1, 4))
    assert [sorted(expand(f"olora_order{n}")) for n in (2, 3, 5, 6)] == [short, short, long, long]
    firsts = [expand(f"olora_order{n}")[0] for n in range(1, 7)]
    assert firsts == ["dbpedia", "dbpedia", "yahoo", "mnli", "multirc", "yelp"]


def test_mnli_rows_without_a_label_are_left_out(released) -> None:
    rows = [{"sentence": "a", "label": "neutral"}, {"sentence": "b", "label": "-"}]
    _, test = released("mnli", rows[:1], rows)
    assert [row.target for row in test] == ["neutral"]
