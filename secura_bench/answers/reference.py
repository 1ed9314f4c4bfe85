"""Reading a reference: what a task's own rows say is right."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.answers.number import only_number
from secura_bench.answers.options import fold
from secura_bench.answers.said import spoken


def read_reference(
    kind: str, target: str, choices: Sequence[str] | None = None, answer_index: int | None = None
) -> str | None:
    r"""Return the answer that a reference holds, in the normal form of answers; None where it is not read.

    ``number``: the one number after ``####``, else in ``\boxed{…}`` or after "the answer is", else of all; None where
    there is none, or more than one. ``choice``: the text of the right option; None without options. ``text``: the
    whole, white space folded.
    """
    if kind == "choice":
        return None if choices is None or answer_index is None else choices[answer_index]
    if kind == "number":
        return only_number(spoken(target))
    return fold(spoken(target)) or fold(target)
