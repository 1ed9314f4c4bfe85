"""The labels of a task that is classified: each row's target is one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from secura_bench.foundation.errors import DataError, quoted
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.row import Row


def labelled(task: TaskFile, rows: Sequence[Row], places: Mapping[str, str]) -> list[Row]:
    """Return ``rows``, those of a task of kind ``classify`` with its labels as choices; ``places`` names each by id.

    Raises:
        DataError: A target is none of the labels.
    """
    if task.kind != "classify":
        return list(rows)
    for row in rows:
        if row.target not in task.labels:
            raise DataError(
                f"{places.get(row.id, row.id)}: the target {quoted(row.target)} is none of the task's labels "
                f"({', '.join(task.labels)}); write it as one of them in 'target', or leave the row out with 'keep'."
            )
    return [replace(row, choices=task.labels, answer_index=task.labels.index(row.target)) for row in rows]
