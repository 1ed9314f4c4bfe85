"""Outcomes in a file, a line a cell, each with what it was made with: a table may be filled by several commands."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

from cells import Outcome, Table

ROOT = Path(__file__).resolve().parent.parent.parent


@cache
def made_with() -> str:
    """Return the commit of this checkout and its day, and the versions of what computes."""
    words = ["git", "log", "-1", "--format=commit %h of %cs"]
    commit = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return ", ".join(
        [commit or "no commit", *(f"{name} {version(name)}" for name in ("torch", "transformers", "peft"))]
    )


@dataclass
class Kept:
    """Outcomes by architecture and column, and what each was made with."""

    cells: dict[tuple[str, str], tuple[Outcome, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path | None) -> Kept:
        """Return what ``file`` holds; nothing where it is not there."""
        kept = cls()
        for line in file.read_text(encoding="utf-8").splitlines() if file and file.exists() else ():
            row, column, kind, why, made = json.loads(line)
            kept.cells[row, column] = Outcome(kind, why), made
        return kept

    def add(self, table: Mapping[tuple[str, str], Outcome], made: str) -> None:
        """Add outcomes, or put them in the place of older ones."""
        self.cells |= {place: (outcome, made) for place, outcome in table.items()}

    def write(self, file: Path) -> None:
        """Write a line a cell: architecture, column, kind, reason, what it was made with."""
        lines = (
            json.dumps([*place, outcome.kind, " ".join(outcome.why.split()), made], ensure_ascii=False)
            for place, (outcome, made) in self.cells.items()
        )
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    @property
    def table(self) -> Table:
        """The outcomes alone."""
        return {place: outcome for place, (outcome, _) in self.cells.items()}

    def made(self) -> list[tuple[str, int]]:
        """Return what cells were made with, and how many, the most first."""
        return Counter(made for _, made in self.cells.values()).most_common()
