"""Which rows belong together: what a split never parts, and what a bootstrap draws together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from secura_bench.tasks.row import Row


def tied(rows: Sequence[Row]) -> list[str]:
    """Return a name for each row that it shares with all rows it is tied to by group or prompt (union-find)."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    prompts = [f"prompt:{row.asked}" for row in rows]
    groups = [
        f"group:{row.group}" if row.group is not None else prompt for row, prompt in zip(rows, prompts, strict=True)
    ]
    for group, prompt in zip(groups, prompts, strict=True):
        parent.setdefault(group, group)
        parent.setdefault(prompt, prompt)
        parent[root(prompt)] = root(group)
    return [root(prompt) for prompt in prompts]


def count_ties(rows: Sequence[Row]) -> int:
    """Return into how many sets of tied rows ``rows`` fall: as many as there are rows where none are tied."""
    return len(set(tied(rows)))


def group_column(rows: Sequence[Row]) -> list[str] | None:
    """Return the name of each row's set of tied rows, to be published; None where no two rows are tied."""
    names = tied(rows)
    return [hashed(name) for name in names] if len(set(names)) < len(names) else None


def hashed(name: str) -> str:
    """Return sixteen hex digits that stand for a group's name, which may be a text that nobody may publish."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]
