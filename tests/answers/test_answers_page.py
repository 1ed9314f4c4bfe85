"""Every example of ``docs/answers.md`` is as the page says."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

from secura_bench.answers.reference import read_reference
from secura_bench.evaluation.extraction import extract
from secura_bench.tasks.row import Row

PAGE = (ROOT / "docs" / "answers.md").read_text()
OPTIONS = ("red", "dark red", "5", "*")


def examples() -> list[tuple[str, str, str | None]]:
    """Return what is read, the text, and what it is read as, of every line of the page's tables."""
    found, what = [], ""
    for line in PAGE.splitlines():
        if heading := re.fullmatch(r"\| a (.*) \| read as \|", line):
            what = heading[1]
        elif row := re.fullmatch(r"\| `(.*)` \| (.*) \|", line):
            found.append((what, row[1].replace("⏎", "\n"), None if row[2] == "–" else row[2]))
    return found


def test_every_line_of_a_table_is_an_example() -> None:
    rows = [
        line for line in PAGE.splitlines() if line.startswith("| ") and "read as |" not in line and "---" not in line
    ]
    assert len(rows) == len(examples()) > 80
    assert {what for what, _, _ in examples()} == {
        "model writes (number)", "model writes (choice)", "reference (number)",
    }  # fmt: skip


@pytest.mark.parametrize(("what", "text", "expected"), examples())
def test_the_page_says_what_is_read(what: str, text: str, expected: str | None) -> None:
    if what == "reference (number)":
        assert read_reference("number", text) == expected
    else:
        kind = "number" if "number" in what else "choice"
        assert extract(kind, text, Row("x", "?", "5", OPTIONS, 2)) == expected
