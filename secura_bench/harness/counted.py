"""Which of a task's metrics counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from secura_bench.foundation.errors import SpecError


def counted_metric(part: str, name: str, task: Any, figures: Mapping[str, float]) -> str:
    """Return the metric of a task that its score is: the first in its own order that can be one, by its first filter.

    One can be that is the mean of its items, each of which has a number (``figures``, of an item), and of which the
    harness says that higher is better: then items can be paired, and resampled.

    Raises:
        SpecError: None is.
    """
    better = task.higher_is_better()
    for metric, aggregation in task.aggregation().items():
        if better.get(metric) is True and _is_mean(aggregation):
            for column in figures:
                if column == metric or column.startswith(f"{metric},"):
                    return column
    raise SpecError(
        f"{part}: of {name} no metric ({', '.join(task.aggregation())}) is the mean of numbers of its items, better "
        f"the higher: it cannot be a probe. Plain text is scored by the protocol perplexity, as a task of kind: text."
    )


def _is_mean(aggregation: Callable[[list[float]], Any]) -> bool:
    """Return whether an aggregation is the mean, by what it does."""
    try:
        return math.isclose(float(aggregation([0.0, 0.25, 1.0])), 1.25 / 3)
    except Exception:  # it is made for pairs, or texts
        return False
