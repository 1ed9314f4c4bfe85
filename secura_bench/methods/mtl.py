"""Multi-task learning: all tasks at once.

for each of (tasks · steps) steps:
    for each row of the step: task ~ uniform, row ~ the task
    loss = mean over the rows' answer tokens of the cross-entropy
    θ ← optimizer(θ, ∇ loss)
score all tasks and the probe
"""

from __future__ import annotations

from secura_bench.methods.method import Method


class MultiTask(Method):
    """Fine-tuning on the mixture of all tasks: the upper bound for whatever learns them one after another.

    Every row of every step comes from a task drawn uniformly, so that small tasks count as much as large ones. A run
    has as many steps as the tasks would have had together, and one checkpoint, after the last.
    """

    name = "mtl"
    stream = "mixed"
