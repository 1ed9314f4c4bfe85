"""The notes of a table say what of the rows a reader must know, each with its count and whose it is."""

from __future__ import annotations

import pytest
from hand_records import BASE, note, run

from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run
from secura_bench.report.tables.footnotes import notes
from secura_bench.results.record import DataNote

SAID = {
    "cut_answers": "Answers cut at the context, in training and in scoring: t 7.",
    "too_long": "Rows left out because their prompt is longer than the context: t 7.",
    "met": "Rows left out of training for the prompt or group of a test row: t 7.",
    "marked": "Rows that spell special tokens, which are read as text: t 7.",
    "respelled": "Answers that the tokenizer does not give back as they were, compared as it gives them back: t 7.",
    "fewshot": "7 worked examples before each prompt, of the training side: t.",
}
SILENT = {
    "train_rows", "test_rows", "found", "filtered", "duplicates", "probe_rows", "groups", "probe_groups", "options",
    "probe_options",
}  # fmt: skip
"""Counts that are told otherwise, or that change nothing of how a number reads."""


def lines_of(**changes: object) -> tuple[str, ...]:
    data = {"q": note(), "u": note(), "t": {**note(), **changes}}
    (study,) = make_studies([Run(BASE), Run(run(1, data=data))])
    return notes([study], "teacher_forced", ("char_bleu",))


@pytest.mark.parametrize("field", SAID)
def test_what_happened_to_rows_is_said_where_it_happened(field: str) -> None:
    assert SAID[field] in lines_of(**{field: 7})
    begin = SAID[field].split(":")[0].removeprefix("7 ")
    assert not any(begin in line for line in lines_of())


def test_no_count_of_rows_is_forgotten() -> None:
    counts = {name for name, field in DataNote.model_fields.items() if "int" in str(field.annotation)}
    assert counts == set(SAID) | SILENT
