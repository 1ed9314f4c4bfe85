"""What a plan wants to know of a method, before there is a model to train: ``Method.footprint`` says it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from torch import nn

from secura_bench.methods.kept import Computing, Kept
from secura_bench.methods.parameters import ParameterCount


@dataclass(frozen=True, eq=False)
class Footprint:
    """What runs of a method take. Two are equal where their ``key`` is, so that counts are made once for both.

    Nothing here has a default: whoever joins footprints has to say how each is joined.

    Attributes:
        key: the method's class and its options as they are spelled.
        trains: whether anything is trained. mixes_tasks: whether all tasks are, at once.
        starts_as_base: whether the attached model computes what the base does, so that the start needs no scores.
        anchors_weights: whether the loss pulls at the weights themselves, beside the cross-entropy.
        counts_by_layer: whether counts on models of one and of two layers say what all layers hold; else a plan builds
            all of them.
        relative_rows: rows that go through the model for a row of a step; more than 1 with replay.
        relative_work: time of a row, forwards and backwards, relative to plain training.
        adapted: names of the adapted modules; of a method that trains everything nobody asks.
        kept_weights: weights made on the way that a forward keeps for the backward pass, for each adapted one.
        kept_logits: fp32 scalars a vocabulary entry and answer token, beside the cross-entropy's.
        held_bytes: of each scalar of ``ParameterCount.held``, on the run's device and in the CPU's memory.
        task_bytes: of each trained scalar, what a task leaves on the device for good, all but the last.
        boundary_bytes: as ``held_bytes``, what ``end_task`` takes beside what is held, of each trained scalar.
        boundary_held: the share of what is held that is still there then.
        boundary_weights: fp32 copies of an adapted weight that ``end_task`` makes, of one weight at a time.
        start_rows: rows that go through the model before the first step, and again where ``boundary_weights`` are made;
            of each adapted module their inputs' covariance is held meanwhile.
        memory_gradients: how many gradients of everything trained ``after_backward`` makes on rows of a memory and
            holds at once, beside the step's own, in task number so, from 0.
        memory_rows: rows of a memory that it sends through the model for each row of a step, in task number so.
        memory_logits: of how many rows the answers' logits are held in the CPU's memory, and bytes of each scalar.
        published_per_layer: what the SECURA paper's Table 7 gives for a layer of two 4096×4096 modules, if anything.
        count_on_shapes: what ``Method.count_parameters`` gives once attached to a model of shapes alone; raises
            SpecError where the options do not fit the model's modules. The method itself is not attached.
        extra_rows: how many rows ``Method.mix`` adds to a step of so many rows in task number so, from 0; on average.
        kept: what an adapted module of so many inputs and outputs keeps, ``kept_weights`` left out.
    """

    key: Hashable
    trains: bool
    mixes_tasks: bool
    starts_as_base: bool
    anchors_weights: bool
    counts_by_layer: bool
    relative_rows: float
    relative_work: float
    adapted: tuple[str, ...]
    kept_weights: int
    kept_logits: int
    held_bytes: tuple[int, int]
    task_bytes: int
    boundary_bytes: tuple[int, int]
    boundary_held: float
    boundary_weights: int
    start_rows: int
    memory_gradients: Callable[[int], int]
    memory_rows: Callable[[int], float]
    memory_logits: tuple[int, int]
    published_per_layer: int | None
    count_on_shapes: Callable[[nn.Module], ParameterCount]
    extra_rows: Callable[[int, int], float]
    kept: Callable[[int, int, Computing], Kept]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Footprint) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def held_memory(self, count: ParameterCount) -> tuple[int, int]:
        """Return the bytes of what is held beside the model, on the run's device and in the CPU's memory."""
        device, host = self.held_bytes
        return device * count.held, host * count.held

    def logits_memory(self, answers: int, vocabulary: int) -> int:
        """Return the bytes of the logits that are held of a memory's rows, of ``answers`` tokens each, on the CPU."""
        return math.prod(self.memory_logits) * answers * vocabulary

    def boundary_memory(self, count: ParameterCount) -> tuple[int, int]:
        """Return the bytes that the end of a task takes beside what is held, on the device and in the CPU's memory."""
        device, host = self.boundary_bytes
        return device * count.trainable, host * count.trainable


def joined(parts: Sequence[Footprint], plain: Footprint, adapter: Footprint) -> Footprint:
    """Return the footprint of a stack of ``parts``, of which ``adapter`` is the one that adapts the model.

    ``plain`` is that of fine-tuning alone: where nobody anchors weights, what is held lies as there. Beside anchors,
    what others hold is small.
    """
    holder = next((part for part in parts if part.anchors_weights), plain)
    return Footprint(
        key=tuple(part.key for part in parts),
        trains=any(part.trains for part in parts),
        mixes_tasks=any(part.mixes_tasks for part in parts),
        starts_as_base=all(part.starts_as_base for part in parts),
        anchors_weights=any(part.anchors_weights for part in parts),
        counts_by_layer=all(part.counts_by_layer for part in parts),
        relative_rows=math.prod(part.relative_rows for part in parts),
        relative_work=math.prod(part.relative_work for part in parts),
        adapted=adapter.adapted,
        kept_weights=sum(part.kept_weights for part in parts),
        kept_logits=sum(part.kept_logits for part in parts),
        held_bytes=holder.held_bytes,
        task_bytes=sum(part.task_bytes for part in parts),
        boundary_bytes=(max(part.boundary_bytes[0] for part in parts), max(part.boundary_bytes[1] for part in parts)),
        boundary_held=holder.boundary_held,
        boundary_weights=max(part.boundary_weights for part in parts),
        start_rows=max(part.start_rows for part in parts),
        memory_gradients=lambda task: max(part.memory_gradients(task) for part in parts),
        memory_rows=lambda task: sum(part.memory_rows(task) for part in parts),
        memory_logits=max((part.memory_logits for part in parts), key=math.prod),
        published_per_layer=None,
        count_on_shapes=plain.count_on_shapes,
        extra_rows=lambda rows, task: sum(part.extra_rows(rows, task) for part in parts),
        kept=adapter.kept,
    )
