"""Plain text: a row a paragraph."""

from __future__ import annotations

from pathlib import Path

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.files.record import Record, Records
from secura_bench.tasks.files.text import read_lines


def read_paragraphs(path: Path) -> tuple[str, Records]:
    """Return how the text is parted, and its paragraphs as the column ``text``, placed by their first line.

    Blank lines part paragraphs; the line ends within one are kept.
    """
    return "a row a paragraph, parted by blank lines", _paragraphs(path)


def _paragraphs(path: Path) -> Records:
    lines: list[str] = []
    start = index = 0
    for number, line in read_lines(path):
        if line.strip():
            start = start if lines else number
            lines.append(line.rstrip())
        elif lines:
            yield Record(str(start), index, {"text": "\n".join(lines)})
            lines, index = [], index + 1
    if lines and not index:
        raise DataError(f"{path}:{start}: is one paragraph, so one row; part it by blank lines, a row a paragraph.")
    if lines:
        yield Record(str(start), index, {"text": "\n".join(lines)})
