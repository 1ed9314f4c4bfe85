"""How the runs of a command ended."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """How runs ended, by name. ``held``: run and who does it. ``failed``: run and why."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)

    def add(self, other: Outcome) -> None:
        """Take in how the runs of another plan ended."""
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.update(theirs) if isinstance(mine, dict) else mine.extend(theirs)
