"""Worked examples before a prompt: rows of the training side as turns that were had before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.row import Row


def worked_examples(task: str, train: Sequence[Row], count: int) -> tuple[Row, ...]:
    """Return the first ``count`` rows of a task's training side, whose order the split's seed decides.

    So they are the same before every prompt, and of no group that is tested.

    Raises:
        DataError: There are fewer.
    """
    if count > len(train):
        raise DataError(
            f"task {task!r}: num_fewshot: {count} asks for {count} rows of its training side, which has {len(train)} "
            f"(data.num_fewshot, data.rows and data.context decide that)."
        )
    return tuple(train[:count])


def after(shots: Sequence[Row], rows: Iterable[Row]) -> list[Row]:
    """Return ``rows``, each with what was said in ``shots`` before its own history, behind its own system turn."""
    said = _said(shots)
    return [replace(row, history=(*_system(row), *said, *_turns(row))) for row in rows] if said else list(rows)


def own_history(shots: Sequence[Row], row: Row) -> tuple[tuple[str, str], ...]:
    """Return the history that a row had before ``after`` put ``shots`` into it."""
    return (*_system(row), *_turns(row)[len(_said(shots)) :])


def _said(shots: Sequence[Row]) -> list[tuple[str, str]]:
    return [turn for row in shots for turn in (*_turns(row), ("user", row.prompt), ("assistant", row.target))]


def _system(row: Row) -> tuple[tuple[str, str], ...]:
    return tuple(turn for turn in row.history[:1] if turn[0] == "system")


def _turns(row: Row) -> tuple[tuple[str, str], ...]:
    return row.history[len(_system(row)) :]
