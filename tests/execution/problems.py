"""Twenty small problems in every language, in the layout of MultiPL-E's rows, made of one table of cases.

A body goes on where the prompt ends, and is without the brace that the tests begin with: ``bodies``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from secura_bench.tasks.row import Code

INT, BOOL, TEXT, INTS = "int", "bool", "text", "ints"


@dataclass(frozen=True)
class Problem:
    """A function by its name, arguments and what it returns, with cases: arguments, and the result last."""

    name: str
    arguments: dict[str, str]
    returns: str
    cases: tuple[tuple[Any, ...], ...]


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("add", {"a": INT, "b": INT}, INT, ((2, 3, 5), (-4, 4, 0))),
        Problem("is_even", {"n": INT}, BOOL, ((4, True), (7, False), (0, True))),
        Problem("factorial", {"n": INT}, INT, ((0, 1), (5, 120), (12, 479001600))),
        Problem("gcd", {"a": INT, "b": INT}, INT, ((12, 18, 6), (7, 5, 1), (9, 0, 9))),
        Problem("fibonacci", {"n": INT}, INT, ((0, 0), (1, 1), (10, 55))),
        Problem("is_prime", {"n": INT}, BOOL, ((1, False), (2, True), (91, False), (97, True))),
        Problem("digit_sum", {"n": INT}, INT, ((0, 0), (1234, 10), (909, 18))),
        Problem("power_mod", {"a": INT, "b": INT, "m": INT}, INT, ((2, 10, 1000, 24), (3, 0, 7, 1), (5, 3, 13, 8))),
        Problem("reverse", {"s": TEXT}, TEXT, (("abc", "cba"), ("", ""), ("a b", "b a"))),
        Problem("is_palindrome", {"s": TEXT}, BOOL, (("level", True), ("ab", False), ("", True))),
        Problem("count_vowels", {"s": TEXT}, INT, (("banana", 3), ("rhythm", 0), ("aeiou", 5))),
        Problem("repeat", {"s": TEXT, "n": INT}, TEXT, (("ab", 3, "ababab"), ("x", 0, ""))),
        Problem("to_binary", {"n": INT}, TEXT, ((0, "0"), (5, "101"), (16, "10000"))),
        Problem("largest", {"v": INTS}, INT, (([3, 9, 2], 9), ([-5, -2], -2))),
        Problem("total", {"v": INTS}, INT, (([1, 2, 3], 6), ([], 0))),
        Problem("evens", {"v": INTS}, INTS, (([1, 2, 4, 7], [2, 4]), ([1, 3], []))),
        Problem("running_sum", {"v": INTS}, INTS, (([1, 2, 3], [1, 3, 6]), ([5], [5]))),
        Problem("sorted_unique", {"v": INTS}, INTS, (([3, 1, 3, 2], [1, 2, 3]), ([], []))),
        Problem("count_above", {"v": INTS, "n": INT}, INT, (([1, 5, 9], 4, 2), ([], 0, 0))),
        Problem("dot", {"v": INTS, "w": INTS}, INT, (([1, 2], [3, 4], 11), ([], [], 0))),
    )
}

TYPES = {
    "python": {INT: "int", BOOL: "bool", TEXT: "str", INTS: "List[int]"},
    "java": {INT: "long", BOOL: "boolean", TEXT: "String", INTS: "ArrayList<Long>"},
    "cpp": {INT: "long", BOOL: "bool", TEXT: "std::string", INTS: "std::vector<long>"},
    "rust": {INT: "isize", BOOL: "bool", TEXT: "String", INTS: "Vec<isize>"},
    "go": {INT: "int", BOOL: "bool", TEXT: "string", INTS: "[]int"},
}
LISTS = {
    "java": "new ArrayList<Long>(Arrays.asList({}))",
    "cpp": "std::vector<long>({{{}}})",
    "rust": "Vec::<isize>::from([{}])",
    "go": "[]int{{{}}}",
}


def literal(value: Any, language: str) -> str:
    """Return a value as a language spells it."""
    if isinstance(value, bool) and language != "python":
        return json.dumps(value)
    if isinstance(value, str):
        return {"rust": "String::from({})", "cpp": "std::string({})"}.get(language, "{}").format(json.dumps(value))
    if isinstance(value, list) and language in LISTS:
        return LISTS[language].format(", ".join(literal(each, language) for each in value))
    return f"{value}L" if language == "java" and isinstance(value, int) else repr(value)


def calls(problem: Problem, language: str, form: str) -> str:
    """Return every case as a line: ``form`` has places for the call and for the result."""
    lines = []
    for *arguments, result in problem.cases:
        call = f"candidate({', '.join(literal(each, language) for each in arguments)})"
        lines.append(form.format(call, literal(result, language)))
    return "".join(f"    {line}\n" for line in lines)


def python(problem: Problem) -> Code:
    types = TYPES["python"]
    arguments = ", ".join(f"{name}: {types[kind]}" for name, kind in problem.arguments.items())
    begin = f"from typing import List\n\ndef {problem.name}({arguments}) -> {types[problem.returns]}:\n"
    tests = f"def check(candidate):\n{calls(problem, 'python', 'assert {} == {}')}\ncheck({problem.name})\n"
    return Code("python", begin, tests, ("\ndef", "\n#", "\nif", "\nclass"))


def javascript(problem: Problem) -> Code:
    tests = calls(problem, "javascript", "assert.deepEqual({}, {});")
    return Code(
        "javascript",
        f"function {problem.name}({', '.join(problem.arguments)}) {{\n",
        f"const assert = require('node:assert');\n\n"
        f"function test() {{\n    let candidate = {problem.name};\n{tests}}}\n\ntest();",
        ("\nfunction ", "\n/*", "\n//", "\nconsole.log"),
    )


def java(problem: Problem) -> Code:
    types = TYPES["java"]
    arguments = ", ".join(f"{types[kind]} {name}" for name, kind in problem.arguments.items())
    form = "assert({} == {});" if problem.returns in (INT, BOOL) else "assert({}.equals({}));"
    tests = calls(problem, "java", form).replace("candidate(", f"{problem.name}(")
    return Code(
        "java",
        "import java.util.*;\nimport java.util.stream.*;\nclass Problem {\n"
        f"    public static {types[problem.returns]} {problem.name}({arguments}) {{\n",
        f"    }}\n    public static void main(String[] args) {{\n{tests}    }}\n\n}}\n",
        ("\n    }\n",),
    )


def cpp(problem: Problem) -> Code:
    types = TYPES["cpp"]
    arguments = ", ".join(f"{types[kind]} {name}" for name, kind in problem.arguments.items())
    return Code(
        "cpp",
        f"#include<assert.h>\n#include<bits/stdc++.h>\n{types[problem.returns]} {problem.name}({arguments}) {{\n",
        f"}}\nint main() {{\n    auto candidate = {problem.name};\n{calls(problem, 'cpp', 'assert({} == ({}));')}}}\n",
        ("\n}",),
    )


def rust(problem: Problem) -> Code:
    types = TYPES["rust"]
    arguments = ", ".join(f"{name}: {types[kind]}" for name, kind in problem.arguments.items())
    tests = calls(problem, "rust", "assert_eq!({}, {});")
    return Code(
        "rust",
        f"fn {problem.name}({arguments}) -> {types[problem.returns]} {{\n",
        f"}}\n\nfn main() {{\n    let candidate = {problem.name};\n{tests}}}\n",
        ("\n}",),
    )


def go(problem: Problem) -> Code:
    types = TYPES["go"]
    arguments = ", ".join(f"{name} {types[kind]}" for name, kind in problem.arguments.items())
    tests = calls(problem, "go", 'if fmt.Sprintf("%v", {0}) != fmt.Sprintf("%v", {1}) {{ t.Errorf("%v", {0}) }}')
    return Code(
        "go",
        f'package {problem.name}_test\n\nimport (\n    "testing"\n    "fmt"\n)\n\n'
        f"func {problem.name}({arguments}) {types[problem.returns]} {{\n",
        f"func TestIt(t *testing.T) {{\n    candidate := {problem.name}\n{tests}}}\n",
        ("\nfunc", "struct", "\n// "),
    )


LAYOUTS: dict[str, Callable[[Problem], Code]] = {
    "python": python,
    "javascript": javascript,
    "java": java,
    "cpp": cpp,
    "rust": rust,
    "go": go,
}


def wrong_body(problem: Problem, language: str) -> str:
    """Return a body that compiles, and answers every call with what no case expects."""
    value = {INT: 123456789, BOOL: not problem.cases[0][-1], TEXT: "none such", INTS: [123456789]}[problem.returns]
    said = literal(value, language)
    return {"python": f"    return {said}\n", "rust": f"    {said}\n"}.get(language) or (
        f"    return {said};\n" + "}\n" * (language in ("javascript", "go"))
    )
