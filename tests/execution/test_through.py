"""What ends itself with status 0 before its tests has not passed them, in any language."""

from __future__ import annotations

import pytest

from secura_bench.execution.languages import LANGUAGES
from secura_bench.execution.ready import why_not
from secura_bench.execution.self_tests import SELF_TESTS
from secura_bench.execution.verdict import BEFORE_ITS_TESTS, Verdict, run_program

_WRONG = "    return len(values)\n"
_OWN_TESTS = "import unittest\nclass T(unittest.TestCase):\n  def test(self): pass\nunittest.main()\n"
_PYTHON = {
    "exits": f"{_WRONG}raise SystemExit\n",
    "has tests of its own": f"{_WRONG}{_OWN_TESTS}",
    "exits when it is called": "    raise SystemExit(0)\n",
    "becomes another program": f"{_WRONG}import os; os.execvp('true', ['true'])\n",
    "exits at its end": f"{_WRONG}import atexit, os; atexit.register(os._exit, 0)\n",
    "hides its errors": f"{_WRONG}import os, sys; sys.excepthook = lambda *_: os._exit(0)\n",
    "says that it is through": f"{_WRONG}import os\nprint('began')\nos.write(2, b'through-')\nexit(0)\n",
}
_JAVASCRIPT = {
    "exits": "  return values.length;\n}\nprocess.exit(0);\n",
    "hides its errors": "  return values.length;\n}\nprocess.on('uncaughtException', () => {});\n",
}
_COMPILED = {
    "java": "        System.exit(0); return 0;\n",
    "cpp": "    exit(0);\n",
    "rust": "    std::process::exit(0)\n",
}


def _verdict(language: str, body: str) -> Verdict:
    if reason := why_not([language])[language]:
        pytest.skip(reason)
    test = SELF_TESTS[language]
    return run_program(language, f"{test.begin}{body}\n{test.tests}")


@pytest.mark.parametrize("body", _PYTHON.values(), ids=_PYTHON)
def test_in_python(body: str) -> None:
    assert _verdict("python", body) == Verdict("failed", BEFORE_ITS_TESTS)


@pytest.mark.parametrize("body", _JAVASCRIPT.values(), ids=_JAVASCRIPT)
def test_in_javascript(body: str) -> None:
    assert _verdict("javascript", body) == Verdict("failed", BEFORE_ITS_TESTS)


@pytest.mark.slow
@pytest.mark.parametrize(("language", "body"), _COMPILED.items(), ids=_COMPILED)
def test_compiled(language: str, body: str) -> None:
    assert _verdict(language, body) == Verdict("failed", BEFORE_ITS_TESTS)


@pytest.mark.slow
def test_go_lets_no_program_end_itself() -> None:
    if reason := why_not(["go"])["go"]:
        pytest.skip(reason)
    test = SELF_TESTS["go"]
    begin = test.begin.replace('"testing"', '"os"\n    "testing"')
    found = run_program("go", f"{begin}    os.Exit(0)\n    return 0\n}}\n{test.tests}")
    assert found.word == "failed" and "unexpected call to os.Exit(0) during test" in found.said


@pytest.mark.parametrize("language", [language for language, of in LANGUAGES.items() if of.mark])
def test_the_mark_stands_behind_the_tests(language: str) -> None:
    known, program = LANGUAGES[language], SELF_TESTS[language].program(True)
    marked = known.marked(program, "THE-MARK")
    assert marked.index("THE-MARK") > marked.rindex("5")
    assert marked.count("}") == program.count("}")
