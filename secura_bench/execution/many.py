"""Several programs at once: few, so that none runs out of time for the company of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from secura_bench.execution.verdict import Verdict, run_program

_AT_ONCE = 2


def run_programs(programs: Sequence[tuple[str, str]], why_not: Mapping[str, str]) -> list[Verdict]:
    """Return the verdicts on (language, source) pairs; ``why_not`` says which languages are left out (``ready``).

    Raises:
        SandboxError: There is no sandbox any more.
        KeyError: A language whose self-test was not made.
    """

    def verdict(program: tuple[str, str]) -> Verdict:
        language, source = program
        reason = why_not[language]
        return Verdict("skipped", reason) if reason else run_program(language, source)

    with ThreadPoolExecutor(_AT_ONCE) as workers:
        return list(workers.map(verdict, programs))
