"""The classification heads of a run: fresh ones, or those that a checkpoint brings."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from secura_bench.checkpoints.find import Checkpoint
from secura_bench.checkpoints.heads import read_heads
from secura_bench.models.head import hidden_width
from secura_bench.models.task_heads import TaskHeads
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.training.precision import trained_dtype


def fresh_heads(run: Run, inputs: Inputs, model: nn.Module) -> TaskHeads | None:
    """Return a head for each task that is classified, on the model's device, as the run's seed draws it; None without.

    Of the base, which is one for all seeds, that is the spec's first.
    """
    if not inputs.classes:
        return None
    heads = TaskHeads(inputs.classes, hidden_width(model), run.seed, trained_dtype(run.train.precision))
    return heads.to(next(model.parameters()).device)


def loaded_heads(
    checkpoint: Checkpoint | None, run: Run, inputs: Inputs, model: nn.Module, tasks: Sequence[str]
) -> TaskHeads | None:
    """Return the heads that ``tasks`` are scored by: untrained ones of the base, and of a checkpoint those beside it.

    Raises:
        DataError: A checkpoint has no head for one of them.
    """
    heads = fresh_heads(run, inputs, model)
    if heads is not None and checkpoint is not None:
        wanted = {task: count for task, count in inputs.classes.items() if task in tasks}
        heads.load_state_dict({**heads.state_dict(), **read_heads(checkpoint, wanted)})
    return heads
