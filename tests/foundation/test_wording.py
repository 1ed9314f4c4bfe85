"""Errors in a line: also those that say nothing."""

from __future__ import annotations

from secura_bench.foundation.wording import counted, first_line, in_a_line, sentence_of


def test_the_first_line_is_the_first_that_says_something() -> None:
    assert first_line(ValueError("\n  one \ntwo")) == "one" and first_line("") == ""


def test_an_error_that_says_nothing_has_its_kind() -> None:
    assert first_line(ValueError()) == "" and sentence_of(ValueError()) == "ValueError."
    assert in_a_line(ValueError("a\nb")) == "ValueError: a"


def test_a_sentence_ends_once() -> None:
    assert [sentence_of(OSError(said)) for said in ("no", "no:", "no.", "why?\nso")] == ["no.", "no.", "no.", "why?"]


def test_one_is_no_plural() -> None:
    assert [counted(count, "run") for count in (0, 1, 2, 1200)] == ["0 runs", "1 run", "2 runs", "1,200 runs"]
