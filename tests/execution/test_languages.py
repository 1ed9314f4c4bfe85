"""Each language whose toolchain is here: references of twenty problems pass, wrong bodies fail, what lacks is skipped.

Compilers take seconds a program: here they have one problem, and all in ``tests/execution/run.py``.
"""

from __future__ import annotations

import os

import pytest
from answers_of import Asked, answers_of
from problems import LAYOUTS, PROBLEMS

from secura_bench.execution import ready, verdict
from secura_bench.execution.languages import LANGUAGES
from secura_bench.execution.many import run_programs
from secura_bench.execution.ready import why_not
from secura_bench.execution.sandbox import SandboxError
from secura_bench.execution.self_tests import SELF_TESTS
from secura_bench.execution.verdict import Verdict, run_program

QUICK = ("python", "javascript")  # which compile nothing


def test_each_language_has_a_self_test_and_problems() -> None:
    assert LANGUAGES.keys() == SELF_TESTS.keys() == LAYOUTS.keys()
    assert len(PROBLEMS) == 20


@pytest.mark.parametrize("language", QUICK)
def test_references_pass_and_wrong_answers_fail(language: str) -> None:
    names = list(PROBLEMS)
    check(language, [answers_of(language, name)[0] for name in names])
    check(language, [each for name in names[-2:] for each in answers_of(language, name)[1:]])


@pytest.mark.slow
@pytest.mark.parametrize("language", [language for language in LAYOUTS if language not in QUICK])
def test_a_function_written_anew_is_compiled_and_passes(language: str) -> None:
    """The self-test, which is made first, has compiled a body that passes and one that fails."""
    check(language, answers_of(language, "evens")[1:2])


def check(language: str, asked: list[Asked]) -> None:
    """Hold that each program has the verdict that it must have; skip where the language cannot be run."""
    reasons = why_not([language])
    if reasons[language]:
        pytest.skip(reasons[language])
    found = run_programs([(language, each.program) for each in asked], reasons)
    assert [(each.name, verdict.word) for each, verdict in zip(asked, found, strict=True)] == [
        (each.name, each.wanted) for each in asked
    ]


def test_what_does_not_compile_is_no_failed_test() -> None:
    if reason := why_not(["rust"])["rust"]:
        pytest.skip(reason)
    found = run_program("rust", "this is no program")
    assert (found.word, bool(found.said)) == ("compile_error", True)


def test_a_language_without_its_toolchain_is_skipped_with_the_reason(monkeypatch) -> None:
    """Never 0: what cannot be run says nothing of a model."""
    lacking = {**LANGUAGES, "rust": verdict.Language("rust", "main.rs", ("no-such-rustc main.rs",), "rustc", "above")}
    for module in (ready, verdict):
        monkeypatch.setattr(module, "LANGUAGES", lacking)
    ready._why_not.cache_clear()
    try:
        reasons = why_not(["rust", "cobol"])
    finally:
        ready._why_not.cache_clear()
    assert "install what it needs (Debian: rustc)" in reasons["rust"] or "bubblewrap" in reasons["rust"]
    assert reasons["cobol"].startswith("no program in cobol can be run; known: python, ")
    assert run_programs([("rust", "fn main() {}")], reasons) == [Verdict("skipped", reasons["rust"])]


def test_a_self_test_that_says_right_of_what_is_wrong_skips_the_language(monkeypatch) -> None:
    monkeypatch.setattr(ready, "run_program", lambda language, source: Verdict("passed"))
    assert ready._why_not.__wrapped__("python") == "the self-test of python should fail, and is passed: "


def test_without_a_sandbox_every_language_is_skipped(monkeypatch) -> None:
    def refuse(language: str, source: str) -> Verdict:
        raise SandboxError("bubblewrap is not here")

    monkeypatch.setattr(ready, "run_program", refuse)
    assert {ready._why_not.__wrapped__(language) for language in LANGUAGES} == {"bubblewrap is not here"}


@pytest.mark.skipif("SECURA_BENCH_DATA" not in os.environ, reason="SECURA_BENCH_DATA names no folder of task files")
def test_references_of_real_problems_pass_their_own_examples() -> None:
    """HumanEval-X in Python: each reference, put behind its prompt, and the examples in the prompt run by doctest."""
    from secura_bench.execution.reading import program_of
    from secura_bench.tasks.catalog import load_task
    from secura_bench.tasks.sources import read_rows

    reasons = why_not(["python"])
    if reasons["python"]:
        pytest.skip(reasons["python"])
    mark = "Complete the following Python function.\n\n"
    rows = [
        row for row in read_rows(load_task("multipl_e"), 1)[0] if row.prompt.startswith(mark) and ">>>" in row.prompt
    ]
    tests = "import doctest\nfound = doctest.testmod()\nassert found.attempted and not found.failed\n"
    answers = {"passed": [row.target for row in rows], "failed": ["    return object()\n"] * len(rows)}
    count = {}
    for word, texts in answers.items():
        pairs = zip(rows, texts, strict=True)
        programs = [program_of("python", row.prompt.removeprefix(mark), text, tests, ()) for row, text in pairs]
        count[word] = sum(each.word == word for each in run_programs([("python", one) for one in programs], reasons))
    assert len(rows) == count["failed"] == 58
    assert count["passed"] == 49  # of nine the examples are no doctests: a comment beside the result, quotes left out
