"""Which languages can be run here: their self-tests, once a process. Nothing is run before its language passed them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from secura_bench.execution.languages import LANGUAGES
from secura_bench.execution.sandbox import SandboxError
from secura_bench.execution.self_tests import SELF_TESTS
from secura_bench.execution.verdict import run_program


def why_not(languages: Iterable[str]) -> dict[str, str]:
    """Return of each language why its programs cannot be run here, "" where they can."""
    return {language: _why_not(language) for language in languages}


@cache
def _why_not(language: str) -> str:
    if language not in LANGUAGES:
        return f"no program in {language} can be run; known: {', '.join(LANGUAGES)}"
    known = LANGUAGES[language]
    try:
        right, wrong = (run_program(language, SELF_TESTS[language].program(right)) for right in (True, False))
    except SandboxError as error:
        return str(error)
    if right.word != "passed":
        return (
            f"the self-test of {language} should pass, and is {right.word} ({right.said}); install what it needs "
            f"(Debian: {known.packages})"
        )
    if wrong.word != "failed":
        return f"the self-test of {language} should fail, and is {wrong.word}: {wrong.said}"
    return ""
