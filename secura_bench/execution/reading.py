"""The program that an answer stands for: a function whose beginning was the prompt, continued or written anew.

A model that goes on where the prompt ends is read as MultiPL-E reads it: up to the first of the row's stop texts. One
that chats puts a block of code between fences, most often with the whole function in it. Its definition is found by
the function's name, and the row's tests, which close an open function in some languages, are put behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from secura_bench.execution.languages import LANGUAGES

_FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"(?:\b(?:def|fn|func|function|const|let|var)\s+(\w+)|(\w+)\s*\()")
_SKIPPED = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|`[^`]*`|//[^\n]*|/\*.*?(?:\*/|\Z)|[{}]', re.DOTALL)
_LONGEST = 50_000  # characters of an answer that are read
_MOST = 2000  # characters of a list of arguments


def program_of(language: str, begin: str, answer: str, tests: str, stop: Sequence[str]) -> str:
    """Return the program that is run: what the prompt began, what the answer makes of it, and the tests."""
    answer = answer[:_LONGEST]
    blocks = [match[2] for match in _FENCED.finditer(answer)]
    name, head = _function(language, begin)
    definition = _definition(language, name) if name else None
    found = next(((b, m) for b in (*blocks, answer) if definition and (m := definition.search(b))), None)
    if found is None:
        return f"{begin}{_cut(blocks[0] if blocks else answer, stop)}\n{tests}"
    code, match = found
    fenced = code is not answer
    keeps = LANGUAGES[language].keeps
    if keeps == "all":
        own = code if fenced else code[match.start() : match.end()] + _cut(code[match.end() :], stop)
        return f"{head}{own}\n{tests}"
    body = _body(code[match.end() :], closed=not tests.lstrip().startswith("}"))
    if keeps == "above" and fenced:
        return f"{head}{code[: match.end()]}{body}\n{tests}"
    return f"{begin}{body}\n{tests}"


def _function(language: str, begin: str) -> tuple[str, str]:
    """Return the name of the function that a prompt begins, "" where there is none, and what stands before it."""
    lines = begin.splitlines(keepends=True)
    opens = re.compile(r"\s*(async\s+)?def\s" if language == "python" else r".*\{\s*$")
    for number in range(len(lines) - 1, -1, -1):
        if opens.match(lines[number]) and (named := _NAMED.search(lines[number])):
            return named[1] or named[2], "".join(lines[:number])
    return "", begin


def _definition(language: str, name: str) -> re.Pattern[str]:
    """Return what finds the definition of a function up to where its body begins."""
    name = re.escape(name)
    if language == "python":
        return re.compile(
            rf"^(?:async[ ]+)?def[ ]+{name}[ ]*\((?:[^()]|\([^()]*\)){{0,{_MOST}}}\)[^:\n]*:", re.MULTILINE
        )
    return re.compile(
        rf"^[\w:<>,&*\[\] \t]*\b{name}(?:<[^>\n]*>)?\s*(?:=\s*(?:function\s*)?)?\((?:[^;{{}}]|\{{\}}){{0,{_MOST}}}\{{",
        re.MULTILINE,
    )


def _body(text: str, closed: bool) -> str:
    """Return ``text`` up to the brace that closes it, with that one if ``closed``; all of it where none does."""
    depth = 1
    for match in _SKIPPED.finditer(text):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if not depth:
            return text[: match.end() if closed else match.start()]
    return text


def _cut(text: str, stop: Sequence[str]) -> str:
    """Return ``text`` up to the first of the stop texts."""
    return text[: min((place for each in stop if (place := text.find(each)) >= 0), default=len(text))]
