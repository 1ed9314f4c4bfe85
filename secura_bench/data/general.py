"""Rows of a task as general data to train on, whatever its kind, apart from all that is scored."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.data.dataset import TaskData
from secura_bench.data.example import Example
from secura_bench.foundation.errors import DataError
from secura_bench.tasks.ties import tied


def general_rows(data: TaskData, scored: Sequence[Example], context: int) -> tuple[Example, ...]:
    """Return a task's training rows, without those that share their prompt or group with a row that is ``scored``.

    Of plain text a row is its first ``context`` tokens, and whatever follows its first token is learned.

    Raises:
        DataError: No row is left.
    """
    rows = [each.row for each in data.train]
    names = tied([*rows, *(each.row for each in scored)])
    held_out = set(names[len(rows) :])
    apart = [each for each, name in zip(data.train, names, strict=False) if name not in held_out]
    found = apart if data.kind != "text" else [_continued(each, context) for each in apart if len(each) > 1]
    if not found:
        raise DataError(
            f"task {data.name!r}: none of its {len(rows)} training rows can be replayed: they share a prompt or group "
            f"with scored rows, or are of one token. Take other rows."
        )
    return tuple(found)


def _continued(text: Example, context: int) -> Example:
    """Return plain text as a beginning of one token and what follows it, ``context`` tokens in all."""
    ids = (*text.prompt_ids, *text.answer_ids)[:context]
    return Example(text.task, text.row, ids[:1], ids[1:])
