"""One sentence of the page's summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Sentence:
    """One statement: the ``lead`` answers first, a ``fact`` tells of one method, ``warning`` and ``missing`` limit."""

    kind: Literal["lead", "fact", "warning", "missing"]
    text: str
