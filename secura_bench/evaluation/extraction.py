"""Reading an answer out of what a model wrote, and judging it: two steps, of which ``docs/answers.md`` is the rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from secura_bench.answers.choice import answer_choice
from secura_bench.answers.number import answer_number
from secura_bench.answers.options import fold
from secura_bench.answers.reference import read_reference
from secura_bench.answers.said import spoken
from secura_bench.tasks.pattern import last_match
from secura_bench.tasks.row import Row

Kind = Literal["number", "choice", "text"]

_LONGEST = 20_000  # characters that are read, the last ones: an answer comes at the end


def extract(kind: Kind, text: str, row: Row, pattern: str | None = None) -> str | None:
    """Return the answer that ``text`` gives to ``row``, in a normal form, or None where it gives none.

    ``number``: a plain decimal where it has one, else a reduced fraction (``answers.number.answer_number``).
    ``choice``: an option's text (``answers.choice.answer_choice``). ``text``: the text itself, white space folded.
    Thinking (``<think>…</think>``) is passed over. Where ``pattern`` is given (a task file's ``extract``), only what
    it finds last is read.
    """
    text = spoken(text)[-_LONGEST:]
    if pattern is not None:
        text = last_match(pattern, text) or ""
    return _EXTRACTORS[kind](text, row)


def is_right(kind: Kind, extracted: str | None, row: Row) -> bool:
    """Return whether the extracted answer is the one that the reference holds.

    The reference is read by a rule of its own (``answers.reference.read_reference``), without the task's pattern,
    which is made for what models write.
    """
    return extracted is not None and extracted == read_reference(kind, row.target, row.choices, row.answer_index)


def _number(text: str, row: Row) -> str | None:
    return answer_number(text)


def _choice(text: str, row: Row) -> str | None:
    choices = row.choices or ()
    named = answer_choice(text, choices)
    return None if named is None else choices[named]


def _text(text: str, row: Row) -> str | None:
    return fold(text) or None


_EXTRACTORS: dict[str, Callable[[str, Row], str | None]] = {
    "number": _number,
    "choice": _choice,
    "text": _text,
}
