"""Do what a page of the documentation says: save its files, run its commands, and write what they print into it.

``python scripts/run_pages.py`` writes docs/tutorial.md anew. A file is a block with a ``title``, a command a line of a
``console`` block that begins with ``$ secura-bench``. What the last command printed stands between ``<!-- printed -->``
and ``<!-- end of printed -->``; ``<!-- printed, first table -->`` keeps the first table of it, ``<!-- printed, to quote
-->`` the sentence and what may not be claimed. A test runs the pages, too.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"
METHOD = ROOT / "docs" / "methods" / "l2_to_start.py"
"""What the tutorial tells its reader to save first."""

WIDTH = 96
TERMINAL = {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "HF_HUB_OFFLINE": "1"}
"""What a command's environment has, so that it prints as to a terminal."""

Run = Callable[[Sequence[str], Path], str]
"""Runs one of the bench's commands, of which it is given the words after the first, in a folder; returns its output."""

_STYLE = re.compile(r"\x1b\[[\d;]*m")
_PIECE = re.compile(
    r'^```\w+ title="(?P<file>[^"]+)"\n(?P<text>.*?)^```$'
    r"|^```console\n(?P<console>.*?)^```$"
    r"|^<!-- printed(?:, (?P<what>[a-z ]+))? -->\n.*?^<!-- end of printed -->$",
    flags=re.DOTALL | re.MULTILINE,
)


def run_page(page: str, folder: Path, run: Run) -> str:
    """Save a page's files in ``folder``, ``run`` its commands there, in order, and return it with what they print."""
    printed = ""

    def do(piece: re.Match[str]) -> str:
        nonlocal printed
        if piece["file"]:
            (folder / piece["file"]).write_text(piece["text"], encoding="utf-8")
        elif piece["console"]:
            for command in commands(piece["console"]):
                printed = _STYLE.sub("", run(command[1:], folder))
        else:
            head, _, _ = piece[0].partition("\n")
            return f"{head}\n```text\n{excerpt(printed, piece['what'])}```\n<!-- end of printed -->"
        return piece[0]

    return _PIECE.sub(do, page)


def commands(console: str) -> list[list[str]]:
    """Return the words of each of the bench's commands in a ``console`` block; comments are left out."""
    lines = [line.removeprefix("$ ") for line in console.splitlines() if line.startswith("$ secura-bench ")]
    return [shlex.split(line, comments=True) for line in lines]


def excerpt(printed: str, what: str | None) -> str:
    """Return what a page shows of a command's output, its lines no longer than ``WIDTH`` where they are sentences.

    Raises:
        ValueError: There is no such part.
    """
    if what is None:
        return printed
    if what == "first table":
        title, table, *_ = printed.split("\n\n")
        return f"{title}\n\n{table}\n"
    if what == "to quote":
        lines = printed[printed.index("To quote:") :].split("\n\n")[0].splitlines()
        return "".join(textwrap.fill(line, WIDTH, subsequent_indent=_indent(line)) + "\n" for line in lines)
    raise ValueError(f"<!-- printed, {what} -->: first table or to quote")


def _indent(line: str) -> str:
    return " " * (4 if line.startswith("  - ") else 2)


def in_a_process(words: Sequence[str], folder: Path) -> str:
    """Run one of the bench's commands in ``folder`` and return what it prints.

    Raises:
        RuntimeError: It fails.
    """
    environment = os.environ | TERMINAL
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "secura_bench", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(words)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def main() -> int:
    """Write the tutorial anew."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / METHOD.name).write_bytes(METHOD.read_bytes())
        page = run_page(TUTORIAL.read_text(encoding="utf-8"), Path(folder), in_a_process)
    TUTORIAL.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
