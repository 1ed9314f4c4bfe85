"""Classification heads, which no trainer here has: what needs one is refused before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from secura_bench.data.example import Example
from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.methods.method import Method


def needs_head(task: str) -> DataError:
    """Return the refusal of a task of ``kind: classify``."""
    return DataError(
        f"task {task!r} is answered by a classification head, which no trainer here has; `secura-bench run` trains "
        f"one, and a task of kind: answers asks the model itself."
    )


def refuse_classified(task: str, rows: Sequence[Example]) -> None:
    """Refuse a task's rows where heads answer them.

    Raises:
        DataError: They do.
    """
    if any(row.head for row in rows):
        raise needs_head(task)


def refuse_heads_alone(method: Method, attached: nn.Module) -> None:
    """Refuse a method that trains nothing of the model it is attached to.

    Raises:
        SpecError: It leaves nothing but heads to train.
    """
    if not any(parameter.requires_grad for parameter in attached.parameters()):
        raise SpecError(
            f"method {method.name!r} trains classification heads and nothing else, and no trainer here has one; "
            f"`secura-bench run` trains them, on tasks of kind: classify."
        )
