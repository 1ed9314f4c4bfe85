"""What `secura-bench check-method` does: a file's methods, one after another, and a table for each."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from secura_bench.checking.check import Verdict, check_method
from secura_bench.foundation.errors import SpecError, unknown_name
from secura_bench.methods.plugins import load_plugin

_WIDTH = 120
_MARKS = {True: "holds", False: "no", None: "–"}


def check_file(
    file: Path, wanted: str | None, options: Sequence[str], say: Callable[[str], None], show: Callable[[str], None]
) -> bool:
    """Check the methods that ``file`` defines, or the ``wanted`` one of them; return whether their numbers are right.

    ``options`` are ``"strength=0.5"`` strings, for a method that has options without defaults.

    Raises:
        SpecError: The file defines no method, or not that one, or an option is no ``KEY=VALUE``.
    """
    names = load_plugin(file)
    if wanted is not None and wanted not in names:
        raise SpecError(f"--method {wanted}: {unknown_name('method', wanted, names)}")
    given = _options(options)
    right = True
    for name in [wanted] if wanted else names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="check-method-") as work:
            verdicts = list(check_method(name, given, file.resolve(), Path(work), say))
        for line in table(name, file, verdicts, time.monotonic() - began):
            show(line)
        right &= not any(verdict.fails for verdict in verdicts)
    return right


def table(name: str, file: Path, verdicts: Sequence[Verdict], seconds: float) -> list[str]:
    """Return the verdicts as lines: what, whether it holds, what was seen; and what follows from them."""
    wide = max(len(verdict.what) for verdict in verdicts)
    lines = [f"{name}, of {file}"]
    for verdict in verdicts:
        mark = "FAILS" if verdict.fails and verdict.holds is False else _MARKS[verdict.holds]
        first, *more = wrap(verdict.said, _WIDTH - wide - 11, break_long_words=False) or [""]
        lines.append(f"  {verdict.what:<{wide}}  {mark:<5}  {first}".rstrip())
        lines += [f"{'':{wide + 11}}{line}" for line in more]
    failed = [verdict.what for verdict in verdicts if verdict.fails]
    end = f"its numbers would not be right ({', '.join(failed)})" if failed else "what its numbers need holds"
    return [*lines, f"  {end}; {seconds:.0f} s"]


def _options(given: Sequence[str]) -> Mapping[str, Any]:
    found = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise SpecError(f"--option {one}: an option is KEY=VALUE, as in strength=0.5.")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SpecError(f"--option {one}: the value cannot be read: {error}") from None
    return found
