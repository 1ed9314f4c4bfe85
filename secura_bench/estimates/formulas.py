"""What a run takes, from shapes alone. Pure functions; every formula stands in the docstring of its function.

Bytes are bytes, and sizes of tensors are in scalars. Where a number is a guess rather than a count it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from secura_bench.adapters.injection import DEFAULT_TARGETS
from secura_bench.estimates.memory import optimizer_bytes, trained_bytes
from secura_bench.estimates.reads import ByProtocol, Reads, summed
from secura_bench.estimates.rows import Rows
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.parameters import ParameterCount
from secura_bench.models.shape import Shape
from secura_bench.plan.phases import probed_within, scored_after, scored_between
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.sections import TrainSpec

if TYPE_CHECKING:
    from torch import nn


def count_on_shape(footprint: Footprint, shape: Shape, whole: Callable[[], nn.Module] | None = None) -> ParameterCount:
    """Return what a method's ``count_parameters`` gives once attached to a model of ``shape``, without building it.

    Layers are alike, so a count over L layers is n(1) + (L − 1) (n(2) − n(1)), counted on skeletons of one and two
    layers. Where that does not do for a method, it is counted on ``whole()``, the model with all its layers and its
    configuration.
    """
    if whole is not None and not footprint.counts_by_layer:
        return footprint.count_on_shapes(whole())
    return _counted(footprint, shape)


@lru_cache(maxsize=1024)  # a matrix has the same method for many rates
def _counted(footprint: Footprint, shape: Shape) -> ParameterCount:
    one, two = (footprint.count_on_shapes(shape.skeleton(layers)) for layers in (1, 2))

    def extended(name: str) -> int:
        first, second = getattr(one, name), getattr(two, name)
        return int(first + (shape.layers - 1) * (second - first))

    count = ParameterCount(**{name: extended(name) for name in ("trainable", "total", "held", "effective")})
    return replace(count, per_layer=count.trainable / shape.layers)


def restricted(count: ParameterCount, shape: Shape, train: TrainSpec) -> ParameterCount:
    """Return ``count`` under ``train.parameters``: of a method that trains everything, ``targets`` leaves q and v.

    Raises:
        SpecError: The model has no such modules.
    """
    if train.parameters == "all" or count.trainable < count.total:
        return count
    if not shape.targets:
        raise SpecError(f"train.parameters: targets: no layer of {shape.family} has {' and '.join(DEFAULT_TARGETS)}.")
    trainable = shape.targets * shape.layers
    held = count.held * trainable // count.trainable
    return replace(count, trainable=trainable, effective=trainable, per_layer=shape.targets, held=held)


@dataclass(frozen=True)
class Work:
    """What a run does: optimizer steps, what goes through the model in them, and what scoring reads, by protocol.

    ``looked_at`` are rows that go through it forwards once, for a start that is made of them.
    """

    steps: int = 0
    trained: Reads = field(default_factory=Reads)
    scored: ByProtocol = field(default_factory=dict)
    looked_at: int = 0

    @property
    def scores(self) -> float:
        """Rows that are scored, by every protocol that scores them."""
        return sum(reads.rows for reads in self.scored.values())


def work_of(spec: ExperimentSpec, footprint: Footprint, train: TrainSpec, steps: Mapping[str, int], rows: Rows) -> Work:
    """Return what a run does. The base scores once; others before training only where the start is not the base.

    ``steps`` are those of each task, in order. Trained: steps · rows a step, a memory's too, as long as the task's are
    on average. Scored: the probe at the end of each task (or of the last alone) and every ``evaluate.every`` steps
    within it, and the tasks that ``evaluate.tasks`` says. Looked at: ``Footprint.start_rows`` at the start, and at each
    boundary where adapters are made again.
    """
    tasks, every, between = tuple(steps), spec.evaluate.every, scored_between(spec)
    if not footprint.trains:
        return Work(scored=summed([(rows.probing, 1), *((rows.testing[name], 1) for name in tasks)]))
    mixed = footprint.mixes_tasks or len(tasks) == 1
    stages = [sum(steps.values())] if mixed else list(steps.values())
    at_ends = [tasks] if mixed else [scored_after(tasks, at, spec.evaluate.tasks) for at in range(len(tasks))]
    at_start = int(not footprint.starts_as_base)
    probings = at_start + between + sum(1 + probed_within(length, every) for length in stages)
    if spec.evaluate.probe == "last":
        probings = 1 + between
    tested = [name for end in (*at_ends, *[tasks] * at_start, *[at_ends[-1]] * between) for name in end]
    trained = Reads()
    for task, (name, length) in enumerate(steps.items()):
        fed = train.batch_size * length * (footprint.relative_rows + footprint.memory_rows(task))
        trained = trained.plus(rows.trained[name].mean, fed)
    starts = 1 + (len(stages) - 1) * (footprint.boundary_weights > 0)
    return Work(
        steps=sum(steps.values()),
        trained=trained,
        scored=summed([(rows.probing, probings), *((rows.testing[name], 1) for name in tested)]),
        looked_at=footprint.start_rows * starts,
    )


def training_flops(shape: Shape, train: TrainSpec, everything: bool, footprint: Footprint, head: float = 1.0) -> float:
    """Return the floating-point operations of training on one token, of which ``head`` goes through the head.

    2 a parameter in the forward pass and 2 for the gradients of activations; 2 more for those of weights where all
    are trained; 2 more for the second forward of checkpointing, and 2 for the head's of a loss in chunks; times
    ``Footprint.relative_work``. The embedding's look-up is none.
    """
    head *= shape.embedding
    passes = 4 + 2 * everything + 2 * train.gradient_checkpointing
    again = 2 * head * ("chunked" in (train.kernels or ()))
    return (passes * (shape.layers * shape.layer + head) + again) * footprint.relative_work


def scoring_flops(shape: Shape, scored: ByProtocol) -> float:
    """Return the floating-point operations of scoring: of each protocol's forwards."""
    return sum(forward_flops(shape, reads.tokens, reads.positions) for reads in scored.values())


def forward_flops(shape: Shape, tokens: float, positions: float) -> float:
    """Return the operations of a forward: 2 a parameter of the layers and token, and of the head and its position."""
    return 2 * (shape.layers * shape.layer * tokens + shape.embedding * positions)


def disk_of(
    spec: ExperimentSpec,
    count: ParameterCount,
    train: TrainSpec,
    work: Work,
    footprint: Footprint,
    shape: Shape,
    logits: int = 0,
) -> tuple[float, float]:
    """Return the bytes that a run leaves, and those that its checkpoint takes meanwhile.

    Left: the trained tensors where ``keep`` says so, and for every score of a row about 2 kB of numbers and texts.
    A checkpoint: trained tensors, the optimizer's state and what the method holds, ``logits`` bytes of a memory's
    answers too, twice while it is replaced.
    """
    trained = count.trainable * trained_bytes(train.precision)
    kept = footprint.trains and spec.keeps(count.trainable, count.total)
    left = trained * kept + work.scores * 2_000
    if not footprint.trains:
        return left, 0.0
    held = sum(footprint.held_memory(count)) + logits
    return left, 2 * (trained + optimizer_bytes(count.trainable, train, shape) + held)
