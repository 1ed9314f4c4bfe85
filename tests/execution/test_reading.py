"""What program an answer stands for: one that goes on, one that chats, one that adds what it needs."""

from __future__ import annotations

import pytest
from problems import LAYOUTS, PROBLEMS

from secura_bench.execution.reading import program_of

PYTHON, CPP, JAVA, GO = (LAYOUTS[name](PROBLEMS["evens"]) for name in ("python", "cpp", "java", "go"))


def program(code, answer: str) -> str:
    return program_of(code.language, code.begin, answer, code.tests, code.stop)


def test_an_answer_that_goes_on_is_cut_at_the_first_stop_text() -> None:
    said = "    return []\n\nif True:\n    pass\ndef other():\n    pass\n"
    assert program(PYTHON, said) == f"{PYTHON.begin}    return []\n\n{PYTHON.tests}"
    assert program(CPP, "    return {};\n}\nint main() {") == f"{CPP.begin}    return {{}};\n{CPP.tests}"
    assert program_of("python", "def f():\n", "    return 1", "f()\n", ()) == "def f():\n    return 1\nf()\n"


def test_a_body_between_fences_goes_on_too() -> None:
    assert program(PYTHON, "```python\n    return []\n```\n") == f"{PYTHON.begin}    return []\n\n{PYTHON.tests}"


def test_a_function_written_anew_in_python_brings_all_that_stands_with_it() -> None:
    said = (
        "So:\n```python\nimport math\n\ndef evens(v):\n    return helper(v)\n\ndef helper(v):\n    return v\n```\nDone."
    )
    found = program(PYTHON, said)
    assert found.startswith(
        "from typing import List\n\nimport math\n\ndef evens(v):\n    return helper(v)\n\ndef helper(v)"
    )
    assert found.endswith(PYTHON.tests)
    assert "Done" not in found and found.count("def evens") == 1


def test_without_fences_a_function_written_anew_ends_at_a_stop_text() -> None:
    found = program(PYTHON, "def evens(v: List[int]) -> List[int]:\n    return []\n\n# Explanation\nIt is right.")
    assert "It is right" not in found and found.count("def evens") == 1


def test_a_call_is_no_definition() -> None:
    said = "    return evens(v[1:]) if v else []\n"
    assert program(PYTHON, said) == f"{PYTHON.begin}{said}\n{PYTHON.tests}"
    said = "    if (evens(w)) {\n        return evens(w);\n    }\n    return {};\n"
    assert program(CPP, said) == f"{CPP.begin}{said}\n{CPP.tests}"


def test_the_body_ends_where_its_brace_does_whatever_texts_and_comments_hold() -> None:
    said = (
        "```cpp\n#include <map>\nlong half(long n) { return n / 2; }\nstd::vector<long> evens(std::vector<long> v) {\n"
        '    // }\n    std::string s = "}\\"}"; char c = \'}\'; /* } */\n    if (c) { return v; }\n    return v;\n}\n'
        "int main() { return 1; }\n```"
    )
    found = program(CPP, said)
    assert "long half(long n)" in found and "#include <map>" in found
    assert found.count("int main()") == 1
    assert found.count("evens(std::vector<long> v)") == 1
    assert found.split("return v;\n")[-1] == "\n" + CPP.tests


@pytest.mark.parametrize("code", [JAVA, GO], ids=["java", "go"])
def test_what_would_stand_twice_is_left_out(code) -> None:
    """A package's name, imports, a class: the prompt has them."""
    closed = "" if code.language == "go" else "    }\n}\n"
    said = f"```\n{code.begin}        return null;\n{closed or '}' + chr(10)}```"
    found = program(code, said)
    for once in ("import", "package", "class Problem"):
        assert found.count(once) == (code.begin + code.tests).count(once)
    assert found.startswith(code.begin) and found.rstrip().endswith(code.tests.rstrip())


def test_no_answer_takes_long_to_read() -> None:
    for said in ("evens(" * 20_000, "```\n" * 20_000, "'" * 60_000, "`" * 60_000, "{" * 60_000, "def evens(" * 9_000):
        for code in (PYTHON, CPP, JAVA, GO):
            assert code.tests in program(code, said)
