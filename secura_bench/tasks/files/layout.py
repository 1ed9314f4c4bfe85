"""A layout: what of a task's ``Columns`` a file's own columns are, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PROMPTS = ("prompt", "input", "question", "instruction")
ANSWERS = ("completion", "output", "answer", "response")
BESIDE = ("system", "history", "context", "passage", "tools")  # what an answer may rest on


@dataclass(frozen=True)
class Layout:
    """How a file is read.

    Attributes:
        said: The layout's name, and which column is what.
        columns: What a task file would say, by the keys of ``Columns``.
        has_choices: That the first row is multiple choice.
    """

    said: str
    columns: Mapping[str, str]
    has_choices: bool = False
