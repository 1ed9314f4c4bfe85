"""Answers as blocks of text, and the row that they answer."""

from __future__ import annotations

from secura_bench.tasks.row import Row

BLANK = ["", " ", "\n\n"]


def texts(block: str) -> list[str]:
    """Return the texts of a block: ``¦`` or a line's end is between two, ``⏎`` a line's end within one."""
    return [text.strip().replace("⏎", "\n") for text in block.replace("\n", "¦").split("¦") if text.strip()]


def row(choices: tuple[str, ...] | None = None) -> Row:
    return Row("x", "?", "5", choices, None if choices is None else 0)
