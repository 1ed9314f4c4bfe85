"""What a run takes, from shapes alone. Pure functions; every formula stands in the docstring of its function.

Bytes are bytes, and sizes of tensors are in scalars. Where a number is a guess rather than a count it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from secura_bench.estimates.memory import optimizer_bytes, trained_bytes
from secura_bench.evaluation.protocols import PROTOCOLS
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

    They are hidden · heads · head_dim + hidden · kv_heads · head_dim a layer, and their biases.
    """
    if train.parameters == "all" or count.trainable < count.total:
        return count
    q, v = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    per_layer = (q + v) * (shape.hidden + shape.bias)
    trainable = per_layer * shape.layers
    held = count.held * trainable // count.trainable
    return replace(count, trainable=trainable, effective=trainable, per_layer=per_layer, held=held)


@dataclass(frozen=True)
class Work:
    """What a run does: optimizer steps, tokens through the model in training, and rows scored by protocol."""

    steps: int
    tokens: float
    scored: float
    """Rows scored, by every protocol of the spec."""

    looked_at: int = 0
    """Rows that go through the model forwards once, for a start that is made of them."""


def work_of(spec: ExperimentSpec, footprint: Footprint, train: TrainSpec, steps: Sequence[int], rows: Rows) -> Work:
    """Return what a run does. The base scores once; others before training only where the start is not the base.

    ``steps`` are those of each task. Tokens: steps · rows a step, a memory's too, · a row's tokens. Scored: the probe
    at the end of each task and every ``evaluate.every`` steps within it, and with it the tasks that ``evaluate.tasks``
    says. Looked at: ``Footprint.start_rows`` at the start, and at each boundary where adapters are made again.
    """
    tasks = len(steps)
    everything = rows.probe + tasks * rows.test
    if not footprint.trains:
        return Work(0, 0, everything)
    scored = 0.0 if footprint.starts_as_base else float(everything)
    stages = [sum(steps)] if footprint.mixes_tasks else steps
    every = spec.evaluate.every
    scored += sum(1 + probed_within(length, every) for length in stages) * rows.probe
    if len(stages) == 1:
        scored += tasks * rows.test
    else:
        scored += sum(len(scored_after(range(tasks), index, spec.evaluate.tasks)) for index in range(tasks)) * rows.test
    at_end = tasks if len(stages) == 1 else len(scored_after(range(tasks), tasks - 1, spec.evaluate.tasks))
    scored += scored_between(spec) * (rows.probe + at_end * rows.test)
    fed = sum(length * (footprint.relative_rows + footprint.memory_rows(task)) for task, length in enumerate(steps))
    starts = 1 + (len(stages) - 1) * (footprint.boundary_weights > 0)
    looked_at = footprint.start_rows * starts
    return Work(sum(steps), train.batch_size * fed * rows.tokens, scored, looked_at)


@dataclass(frozen=True)
class Rows:
    """Rows of the probe and of a task's test side, and tokens of a row: measured, or bounds where data is not here.

    ``trained`` are the rows that each task trains on.
    """

    probe: int
    test: float
    tokens: float
    exact: bool = False
    trained: Mapping[str, int] = field(default_factory=dict)


def training_flops(shape: Shape, train: TrainSpec, everything: bool, footprint: Footprint) -> float:
    """Return the floating-point operations of training on one token.

    2 a parameter in the forward pass and 2 for the gradients of activations; 2 more for those of weights where all
    are trained; 2 more for the second forward of checkpointing; times ``Footprint.relative_work``. The embedding's
    look-up is none, the head's work on answers is counted as if all positions had it.
    """
    parameters = shape.layers * shape.layer + shape.embedding
    passes = 4 + 2 * everything + 2 * train.gradient_checkpointing
    return passes * parameters * footprint.relative_work


def scoring_flops(shape: Shape, protocols: tuple[str, ...], tokens: float) -> float:
    """Return the floating-point operations of scoring one row of ``tokens`` tokens by all ``protocols``."""
    return forward_flops(shape, tokens) * sum(PROTOCOLS[protocol].row_cost for protocol in protocols)


def forward_flops(shape: Shape, tokens: float) -> float:
    """Return the floating-point operations of one row's forward: 2 a parameter and token."""
    return 2 * (shape.layers * shape.layer + shape.embedding) * tokens


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

    Left: the trained tensors where ``keep`` says so, and for every scored row about 2 kB of scores and texts.
    A checkpoint: trained tensors, the optimizer's state and what the method holds, ``logits`` bytes of a memory's
    answers too, twice while it is replaced.
    """
    trained = count.trainable * trained_bytes(train.precision)
    kept = footprint.trains and spec.keeps(count.trainable, count.total)
    left = trained * kept + work.scored * 2_000 * len(spec.evaluate.protocols)
    if not footprint.trains:
        return left, 0.0
    held = sum(footprint.held_memory(count)) + logits
    return left, 2 * (trained + optimizer_bytes(count.trainable, train, shape) + held)
