"""Whether a task's references can be told: refused where they are not, when rows are read, and not scored as wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secura_bench.answers.numerals import find_numerals
from secura_bench.answers.options import fold
from secura_bench.answers.reference import read_reference
from secura_bench.foundation.errors import DataError
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.row import Row

_SHOWN = 80  # characters of a reference, its end: there the answer is


def check_references(task: TaskFile, rows: Sequence[Row], places: Mapping[str, str]) -> None:
    """Refuse rows whose reference is not an answer of the task's kind; ``places`` names each by its id.

    Rows beside test rows that the task names itself may be trained on with whatever answer they have.

    Raises:
        DataError: A reference is not exactly one number, there are no options, or white space alone tells two apart.
    """
    if task.kind != "answers":
        return
    for row in rows:
        place = places.get(row.id, row.id)
        if task.answer == "choice":
            _check_options(row, place)
        if task.test is None and not is_told(task, row):
            raise DataError(
                f"{place}: the reference {shorten(row.target)!r} is not read as exactly one number "
                f"({_found(row.target)}), as 'answer: number' wants it. Write the number behind '####' or in "
                f"\\boxed{{}}, leave the row out with 'keep', or say 'answer: text'."
            )


def is_told(task: TaskFile, row: Row) -> bool:
    """Return whether a row's reference is an answer of the task's kind, so that it can be scored."""
    return task.kind != "answers" or task.answer != "number" or read_reference("number", row.target) is not None


def shorten(text: str) -> str:
    """Return the end of a text on one line."""
    folded = fold(text)
    return folded if len(folded) <= _SHOWN else "…" + folded[-_SHOWN:]


def _check_options(row: Row, place: str) -> None:
    if row.choices is None or row.answer_index is None:
        raise DataError(
            f"{place}: has no options, as 'answer: choice' wants them: 'choices' and 'answer_index' in the task's "
            f"columns, or say 'answer: text'."
        )
    seen: dict[str, str] = {}
    for choice in row.choices:
        if (other := seen.setdefault(fold(choice), choice)) is not choice:
            raise DataError(
                f"{place}: the options {other!r} and {choice!r} differ in white space alone, so that nobody can say "
                f"which is meant; leave the row out with 'keep'."
            )


def _found(target: str) -> str:
    found = [target[numeral.start : numeral.end].strip() for numeral in find_numerals(target)]
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    return f"found: {', '.join(found[:4])}{more}" if found else "found: none"
