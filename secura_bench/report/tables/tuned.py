"""How settings were chosen, in words: a cell of the ledger, and the note under every other table."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.foundation.wording import duration
from secura_bench.report.study.study import Study
from secura_bench.report.study.tuning import ledger, left_out
from secura_bench.report.tables.note import Note
from secura_bench.spec.tune import Tuned, spelled


def chosen(tuned: Tuned) -> str:
    """Return what was chosen of a grid, and where it ends there."""
    if tuned.choose == "frontier":
        return "all"
    edges = [f"{edge} of the grid" for edge in tuned.edges.values()]
    settings = ", ".join(f"{key} {spelled(value)}" for key, value in tuned.settings.items())
    return f"{settings} ({', '.join(edges)})" if edges else settings


def grid(tuned: Tuned) -> str:
    """Return what there was to choose from."""
    return "; ".join(f"{key} {', '.join(map(spelled, values))}" for key, values in tuned.grid.items())


def on(tuned: Tuned) -> str:
    """Return what the trials were of."""
    held_out = " (rows held out of training)" * tuned.held_out
    return f"{', '.join(tuned.on)}{held_out}" if tuned.on else "–"


def length(tuned: Tuned) -> str:
    """Return how long each trial was trained."""
    return f"{tuned.length} as in the grid" if tuned.length else f"{tuned.steps} steps"


def tuned_notes(studies: Sequence[Study]) -> list[str]:
    """Return the ledger as it stands under each table whose settings were chosen, and who was left out and why."""
    found = [pair for study in studies for pair in ledger(study) if pair[1].choose != "frontier"]
    lines: list[str] = []
    if found:
        whole = "; ".join(
            f"{name} {chosen(t)}, {t.choose} of {grid(t)}, {t.runs} runs on {on(t)}, {length(t)}, {duration(t.seconds)}"
            for name, t in found
        )
        short = ", ".join(f"{name} {chosen(t)} ({t.choose}, {t.runs} runs)" for name, t in found)
        lines.append(Note(f"Settings chosen by trials: {whole}.", f"Settings chosen by trials: {short}."))
    lines += [f"Left out by tuning: {name}: {reason}." for name, reason in left_out(found).items()]
    return lines
