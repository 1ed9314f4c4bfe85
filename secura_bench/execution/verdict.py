"""What became of a program, as one word and one line."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import Literal

from secura_bench.execution.languages import LANGUAGES, Language
from secura_bench.execution.sandbox import Ended, Limits, last_line, run_guarded

Word = Literal["passed", "failed", "timed_out", "memory", "output", "compile_error", "skipped"]

_TOO_LONG = 128 + 24  # SIGXCPU: the seconds of a processor are used up
_OUT_OF_MEMORY = re.compile(
    r"MemoryError|OutOfMemoryError|heap out of memory|Array buffer allocation failed|bad_alloc|"
    r"memory allocation of \d+ bytes failed|runtime: out of memory|Cannot allocate memory|virtual memory exhausted"
)
_TELLING = re.compile(
    r"(Error|Exception)\b|\berror(\[\w+\])?:|panicked at|Assertion|(?i:fatal error)|^panic:|\.go:\d+: "
)
_SHOWN = 300  # characters of a line
BEFORE_ITS_TESTS = "it ended itself, with status 0, before its tests were through"


@dataclass(frozen=True)
class Verdict:
    """What became of a program; ``said`` is what it said of that (``telling_line``), "" of one that passed."""

    word: Word
    said: str = ""


def judge(language: Language, ended: Ended, through: bool) -> Verdict:
    """Return the verdict on a program that ended: it passed where it came ``through`` its tests, and with status 0."""
    said = telling_line(ended.errors)
    if ended.stopped is not None:
        return Verdict(ended.stopped, said)
    if ended.status == 0 and ended.steps == len(language.steps):
        return Verdict("passed") if through else Verdict("failed", BEFORE_ITS_TESTS)
    if ended.status == _TOO_LONG:
        return Verdict("timed_out", said)
    if _OUT_OF_MEMORY.search(ended.errors):
        return Verdict("memory", said)
    return Verdict("failed" if ended.steps == len(language.steps) else "compile_error", said)


def telling_line(errors: str) -> str:
    """Return the last line that names an error, or the last one: some compilers and interpreters say more below it."""
    named = [line for line in errors.splitlines() if _TELLING.search(line)]
    return last_line("\n".join(named) or errors)[:_SHOWN]


def run_program(language: str, source: str, limits: Limits | None = None) -> Verdict:
    """Run a program with its tests, in the sandbox, and return what became of it.

    Raises:
        SandboxError: There is no sandbox; nothing was run.
    """
    known = LANGUAGES[language]
    mark = f"through-{secrets.token_hex(16)}"  # which no program can know beforehand
    ended = run_guarded(known.marked(source, mark), known.file, known.steps, known.settings, limits or Limits())
    through = not known.mark or mark in ended.errors
    return judge(known, replace(ended, errors=ended.errors.replace(mark, "")), through)
