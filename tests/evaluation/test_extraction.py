"""Reading answers out of what models write: one table a kind, and users' patterns."""

from __future__ import annotations

import time

import pytest

from secura_bench.evaluation.evaluate import evaluate
from secura_bench.evaluation.extraction import extract, is_right
from secura_bench.tasks.catalog import load_task
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.pattern import compile_pattern, last_match
from secura_bench.tasks.row import Row

OPTIONS = Row("x", "?", "Hindsight is better", ("Hindsight is better", "Foresight", "red", "dark red"), 0)

NUMBERS = [
    ("She has 16 - 3 = 13 left.\n#### 13", "13"),
    ("#### 18", "18"),
    ("####18", "18"),
    ("#### 7 apples and 3 pears", None),
    ("13 and then #### none", None),
    ("The answer is 18.", "18"),
    ("The answer is 18. It took 3 steps.", "18"),
    ("First the answer is 3; no, the final answer is: 4 of 9", "4"),
    ("The answer is 6 * 3 = 18.", "18"),
    ("#### 6 x (2 + 1) = $18", "18"),
    ("The answer is 48/2 = 24 = 20 + 4 clips, of 30", "24"),
    ("The answer is 12 (= 3 * 4).", "12"),
    ("The answer is 12, since 3 * 4 = 12", "12"),
    ("The answer is 10-12 apples", None),
    ("The answer is 18\n= 3 * 6", "18"),
    ("Answer: 12", "12"),
    (r"so \boxed{42} it is", "42"),
    ("There are eighteen of them", "18"),
    ("Eighteen", "18"),
    ("twenty-one", "21"),
    ("twenty one apples", "21"),
    ("one hundred and five", "105"),
    ("two thousand three hundred and forty-two", "2342"),
    ("one two three", "3"),
    ("It costs $1,234.50", "1234.5"),
    ("1,234,567.8900", "1234567.89"),
    ("$18", "18"),
    ("18 dollars", "18"),
    ("18th", "18"),
    ("50%", "50"),
    ("-3", "-3"),
    ("−3", "-3"),
    ("-$5", "-5"),
    ("minus seven", "-7"),
    ("#### -0042", "-42"),
    ("10-3", None),
    ("16 - 3", None),
    ("a -0.0 b", "0"),
    (".5", "0.5"),
    ("3/4", "0.75"),
    ("-1/3", "-1/3"),
    ("4/6", "2/3"),
    ("1/0", None),
    ("1,2,3", None),
    ("5 is the answer", "5"),
    ("none at all", None),
    ("someone", None),
    ("", None),
    ("9" * 5000, "9" * 5000),
]

CHOICES = [
    ("(B)", "Foresight"),
    ("B", "Foresight"),
    ("B.", "Foresight"),
    ("B: Foresight", "Foresight"),
    ("**B**", "Foresight"),
    ("(b)", "Foresight"),
    ("b) maybe", "Foresight"),
    ("b", "Foresight"),
    ("b.", "Foresight"),
    ("a good question", None),
    ("B) Hindsight is better", "Foresight"),  # the letter goes before the text beside it
    ("B) Foresight of course", "Foresight"),
    ("Option C", "red"),
    ("I choose option (C).", "red"),
    ("Answer: (C)", "red"),
    ("The answer is (C).", "red"),
    ("The correct choice is (C).", "red"),
    ("The right option is C, not B", "red"),
    ("answer is **B**.", "Foresight"),
    ("The answer is B because it is early", "Foresight"),
    ("The answer is D) dark red", "dark red"),
    ("The correct answer is: dark red", "dark red"),
    ("The answer is A good one", None),
    (r"\boxed{B}", "Foresight"),
    ("Foresight is wrong; the answer is red", "red"),
    ("Hindsight is better", "Hindsight is better"),
    ("hindsight IS  better.", "Hindsight is better"),
    ('"Foresight"', "Foresight"),
    ("I would say foresight here", "Foresight"),
    ("It is dark red", "dark red"),
    ("Foresight or red", None),
    ("A good question", None),
    ("(Z)", None),
    ("", None),
]

TEXTS = [("  a\n  b ", "a b"), ("   ", None)]

CASES = [
    (kind, text, expected)
    for kind, cases in (("number", NUMBERS), ("choice", CHOICES), ("text", TEXTS))
    for text, expected in cases
]


@pytest.mark.parametrize(("kind", "text", "expected"), CASES, ids=[f"{kind}-{text[:40]}" for kind, text, _ in CASES])
def test_extraction(kind, text: str, expected: str | None) -> None:
    assert extract(kind, text, OPTIONS) == expected


def test_verdicts() -> None:
    count = Row("x", "?", "seven")
    assert is_right("number", extract("number", "7", count), count)
    assert not is_right("number", extract("number", "8", count), count)
    assert not is_right("number", None, count)
    assert is_right("choice", extract("choice", "(A)", OPTIONS), OPTIONS)
    assert not is_right("choice", extract("choice", "(B)", OPTIONS), OPTIONS)
    explained = Row("x", "?", "No. It is too cold there.", ("Yes", "No"), 1)  # the target is longer than the choice
    assert is_right("choice", extract("choice", "No, it is not.", explained), explained)
    assert not is_right("choice", extract("choice", "Yes. It is.", explained), explained)
    code = Row("x", "?", "    x += 1\n    return x")
    assert is_right("text", extract("text", "x += 1\n  return x", code), code)


def test_a_pattern_picks_what_is_read() -> None:
    row = Row("x", "?", "18")
    assert extract("number", "first 3, so <18> and 5 left", row, r"<(\d+)>") == "18"
    assert extract("number", "first <3>, so <18>", row, r"<(\d+)>") == "18"  # the last place
    assert extract("number", "no mark, 18", row, r"<(\d+)>") is None
    assert extract("text", "Say: yes\n", row, r"(?m)^Say: .*$") == "Say: yes"
    assert extract("choice", "thinking of red ... FINAL dark red", OPTIONS, "FINAL (.*)") == "dark red"
    assert last_match("ü(.)", "äüö") == "ö"


def test_no_pattern_hangs() -> None:
    """A pattern that a backtracking engine works on for longer than the sun lasts."""
    began = time.monotonic()
    assert last_match(r"(a|aa|a+)+$", "a" * 20_000 + "!") is None
    assert extract("text", "a" * 5_000_000 + "!", Row("x", "?", "!"), r"(a*)*!$") is not None
    assert time.monotonic() - began < 60  # not a timing: the other engine never ends


@pytest.mark.parametrize("pattern", ["(a", r"(?=a)b", r"(a)\1"])
def test_a_pattern_that_re2_does_not_know_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="no regular expression of RE2"):
        compile_pattern(pattern)
    with pytest.raises(ValueError, match="extract"):
        TaskFile.model_validate({**load_task("tiny_arith").model_dump(), "extract": pattern})


def test_the_task_files_pattern_is_used_and_kept_beside_the_verdict(tiny) -> None:
    from secura_bench.data.dataset import load_data
    from secura_bench.spec.sections import DataSpec

    model, chat, _ = tiny
    data = load_data("tiny_arith", DataSpec(rows=60), chat)
    plain = evaluate("generate", model, data.file, data.test, chat, 8, 600)
    picky = data.file.model_copy(update={"extract": "there is no such thing"})
    none = evaluate("generate", model, picky, data.test, chat, 8, 600)
    assert plain.scores["accuracy"] > 0
    assert all(answer is not None for answer in plain.extracted)
    assert none.scores["accuracy"] == 0
    assert none.extracted == [None] * len(data.test)
