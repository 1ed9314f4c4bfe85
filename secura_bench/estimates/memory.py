"""A run's peak memory, from shapes alone: the largest of the moments that a run goes through.

Bytes are bytes, and sizes of tensors are in scalars. ``scripts/measure_plan.py`` holds the sums against processes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from secura_bench.estimates.activations import Activations, Batch, activations, adapted_scalars, adapted_sizes
from secura_bench.estimates.few_bits import frozen_bytes, quantised_savings
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.parameters import ParameterCount
from secura_bench.models.shape import Shape
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.loading import LoadSpec
from secura_bench.spec.sections import TrainSpec
from secura_bench.spec.types import Precision

PROCESS = 600 * 2**20
"""What a process takes with nothing loaded: the libraries on a CPU, about as much for the context on a GPU."""

_CHUNK = 1 << 24
"""Scalars that the stochastic optimizer updates at once, in about seven fp32 copies."""


@dataclass(frozen=True)
class Memory:
    """Peak memory in bytes. ``host`` is what lies in the CPU's memory by choice; the rest is on the run's device.

    ``apart`` is what of ``gradients`` and ``activations`` is never there at once: gradients come as activations go.
    """

    weights: float
    gradients: float
    optimizer: float
    activations: float
    held: float
    host: float = 0.0
    apart: float = 0.0

    @property
    def device(self) -> float:
        """What the device must hold: everything but ``host``, and the process itself."""
        step = self.gradients + self.activations - self.apart
        return self.weights + step + self.optimizer + self.held + PROCESS

    def on_cpu(self) -> float:
        """Return what a machine's memory must hold if it is the device too."""
        return self.device + self.host


def trained_bytes(precision: Precision) -> int:
    """Return the bytes of a trained scalar, its gradient and each of Adam's moments: 4 in fp32 and bf16, else 2."""
    return 4 if precision in ("fp32", "bf16") else 2


@dataclass(frozen=True)
class Scoring:
    """How a spec scores: rows at once, tokens of a row at most, answer tokens of a row at most, by which protocols."""

    rows: int
    context: int
    answers: int
    new_tokens: int
    protocols: tuple[str, ...]
    at_once: int = 0
    """Tokens of the longest text that is read in one forward."""

    @classmethod
    def of(cls, spec: ExperimentSpec, context: int, answers: int, new_tokens: int) -> Scoring:
        """Return the scoring of ``spec``."""
        evaluate = spec.evaluate
        return cls(evaluate.batch_size, context, answers, new_tokens, tuple(evaluate.protocols))


def memory_of(
    footprint: Footprint,
    count: ParameterCount,
    shape: Shape,
    train: TrainSpec,
    scoring: Scoring,
    answers: int,
    tasks: int = 1,
    on_gpu: bool = False,
    load: LoadSpec | None = None,
    processes: int = 1,
) -> Memory:
    """Return a run's peak memory: the largest of training's, scoring's and that of a boundary between tasks.

    Whenever: weights, frozen · 2 or 4 + trained · 2 or 4, under autocast (``bf16``) a bf16 copy of the trained ones as
    well, less ``quantised_savings`` where they are held in few bits; ``optimizer_bytes``; ``Footprint.held_memory``,
    and ``task_bytes`` of every task before. Beside these:

    - in a step, activations of a micro-batch of rows of ``scoring.context`` tokens, ``answers`` of them supervised,
      and gradients, trained · 2 or 4, as they meet: see ``_step``;
    - gradients on rows of a memory (``Footprint.memory_gradients``), and one more where they come by micro-batches:
      beside all of the step's own, and never of a loss in chunks; logits held of a memory's answers, rows · answers ·
      vocabulary;
    - under ``offload`` what is saved for the backward pass lies in the CPU's memory: on a CPU too, to a plan;
    - where nothing of the model is trained, a forward of a micro-batch in the place of all these: it keeps nothing;
    - while scoring, ``scoring_bytes``;
    - at the end of every task but the last, what ``Footprint.boundary_memory`` says, and a step of one row whose
      gradients are squared in fp32. From the second one on, so of three tasks, ``boundary_held`` of what is held is
      there;
    - at the same, where adapters are made again, ``Footprint.boundary_weights`` of the largest adapted weight;
    - where a start is made of rows, ``start_bytes``.

    Of ``processes`` that divide the weights (``train.shard``) it is what each takes: its share of weights, gradients,
    moments, what is held, and the largest tensor; no copy under autocast; ``gathered_bytes``, told with the weights.
    """
    shares = processes if train.shard else 1
    everything, largest = count.trainable == count.total, min(count.trainable, shape.largest) / shares
    trained, bytes_ = count.trainable / shares, trained_bytes(train.precision)
    weights = (count.total / shares - trained) * frozen_bytes(train.precision) + trained * bytes_
    if shares > 1:
        weights += gathered_bytes(shape, train, footprint.trains and everything)
    if load is not None and load.bits:
        weights -= quantised_savings(shape, train.precision, load)
    if not footprint.trains:
        return Memory(weights, 0, 0, scoring_bytes(shape, train.precision, scoring), 0)
    if train.precision == "bf16" and shares == 1:
        weights += 2 * trained
    held, host = (size / shares for size in footprint.held_memory(count))
    host += footprint.logits_memory(answers, shape.vocabulary)
    held += footprint.task_bytes * trained * (tasks - 1)
    optimizer = optimizer_bytes(trained, train, shape)
    drawn = math.ceil(train.batch_size * footprint.relative_rows - 1e-9)  # a part of a row is one now and then
    said = train.micro_batch_size
    rows = drawn if said == "auto" else min(said or drawn, drawn)  # cut by length, at most all of them at once
    divided = rows < drawn or (said == "auto" and drawn > 1)

    def step(
        rows: int, accumulates: bool, pulls: bool, update: float, whole: bool
    ) -> tuple[float, float, float, float]:
        if not trained:
            return 0.0, forward_bytes(shape, train.precision, rows, scoring.context), 0.0, 0.0
        so = train.model_copy(update={"kernels": None}) if whole else train
        kept = activations(footprint, shape, so, everything, Batch(rows, scoring.context, answers), on_gpu)
        away = kept.saved if train.offload else 0.0
        kept = replace(kept, saved=kept.saved - away)
        head = shape.embedding * bytes_ * (everything and shares == 1)
        return *_step(kept, trained * bytes_, head, largest, accumulates, pulls, update), away

    references = max(footprint.memory_gradients(task) for task in range(tasks))
    beside = trained * bytes_ * (references + (references > 0 and divided))
    accumulates = divided or references > 0
    gradients, kept, apart, away = step(
        rows, accumulates, footprint.anchors_weights, update_bytes(largest, train), references > 0
    )
    moments = [
        Memory(weights, gradients, optimizer, kept, held + beside, host + away, apart),
        Memory(weights, 0, optimizer, scoring_bytes(shape, train.precision, scoring), held, host),
    ]
    on_device, on_host = (size / shares for size in footprint.boundary_memory(count))
    if tasks > 1 and on_device + on_host:
        squares = 4.0 * (2 if bytes_ == 4 else 3) * largest
        gradients, kept, apart, _ = step(1, False, False, squares, True)  # no step of the loop's: nothing is away
        before = footprint.boundary_held * (tasks > 2)
        moments.append(
            Memory(weights, gradients, optimizer, kept, held * before + on_device, host * before + on_host, apart)
        )
    if tasks > 1 and footprint.boundary_weights:
        copies = 4.0 * footprint.boundary_weights * adapted_scalars(footprint, shape)
        moments.append(Memory(weights, 0, optimizer, copies, held, host))
    if footprint.start_rows:
        moments.append(
            Memory(weights, 0, optimizer, start_bytes(footprint, shape, train.precision, scoring), held, host)
        )
    return max(moments, key=Memory.on_cpu)


def start_bytes(footprint: Footprint, shape: Shape, precision: Precision, scoring: Scoring) -> float:
    """Return the bytes of a start that is made of rows, which the optimizer's state meets at a boundary.

    The covariances of the inputs of all adapted modules, 4 d² each; beside them a row's forward, all its logits in
    fp32 among it, or one weight's decomposition in fp32: an inverse with five d×d more, or three and five h×d.
    """
    sizes = adapted_sizes(footprint, shape)
    covariances = 4.0 * shape.layers * sum(d * d for d, _ in sizes)
    forward = scoring_bytes(shape, precision, replace(scoring, rows=1)) + 4.0 * scoring.context * shape.vocabulary
    decomposition = 4.0 * max(max(6 * d * d, 3 * d * d + 5 * h * d) for d, h in sizes)
    return covariances + max(forward, decomposition)


def gathered_bytes(shape: Shape, train: TrainSpec, everything: bool) -> float:
    """Return the bytes of divided weights that are there whole, and of their gradients before they are divided.

    A unit is a layer, or the embedding: whichever is larger. Two are whole at once, the one that computes and the next,
    in the dtype in which it is computed; of two, where all is trained, the gradients, as made and as they are sent, in
    the dtype in which they are summed.
    """
    unit = max(shape.layer, shape.embedding)
    computed = 4 if train.precision == "fp32" else 2
    return unit * 2 * (computed + everything * trained_bytes(train.precision))


def _step(
    kept: Activations,
    gradients: float,
    head: float,
    largest: float,
    accumulates: bool,
    pulls: bool,
    update: float,
) -> tuple[float, float, float]:
    """Return gradients, activations and what of them is apart, in bytes; ``largest`` is a tensor's scalars.

    What is saved meets the gradients that are there while the loss's and the first layer's are made: from the second
    micro-batch on, all; for the layer's, that of the ``head`` too (vocabulary · hidden), where it is trained. Where the
    loss pulls at the weights, its gradients come first: all of them meet what is saved, with two fp32 copies of the
    largest tensor beside its own; three, without gradients, when the pull is computed.
    All gradients meet what is then done with them, which takes ``update`` bytes.
    """
    before = gradients if accumulates or pulls else 0.0
    loss = kept.loss
    if pulls:
        pull = 4.0 * largest
        loss = max(loss, 2 * pull, 3 * pull - (0 if accumulates else gradients))
    moments = (before + kept.saved + loss, before + head + kept.saved + kept.layer, gradients + update)
    activations = max(kept.saved + max(loss, kept.layer), update, max(moments) - gradients)
    return gradients, activations, gradients + activations - max(moments)


def update_bytes(largest: float, train: TrainSpec) -> float:
    """Return the bytes of what comes and goes while the optimizer updates the largest tensor, of so many scalars.

    AdamW: two copies of it (the denominator), as a look-up's gradient takes before; rounding stochastically, seven
    fp32 copies of a chunk of 2²⁴ scalars. Adafactor: two fp32 copies. In 8 bits: two fp32 copies.
    """
    if train.precision == "bf16_stochastic" and train.optimizer == "adamw":
        return 4.0 * 7 * min(largest, _CHUNK)
    return 2.0 * largest * (trained_bytes(train.precision) if train.optimizer == "adamw" else 4)


def optimizer_bytes(trained: float, train: TrainSpec, shape: Shape) -> float:
    """Return the bytes of the optimizer's state.

    AdamW: two moments of the trained dtype; in 8 bits: two bytes and a scale of 4 bytes for 256 scalars each.
    Adafactor: rows and columns alone, about 2 · trained / hidden scalars in fp32.
    """
    if train.optimizer == "adamw_8bit":
        return trained * 2 * (1 + 4 / 256)
    if train.optimizer == "adafactor":
        return 4 * 2 * trained / shape.hidden
    return trained * 2 * trained_bytes(train.precision)


def scoring_bytes(shape: Shape, precision: Precision, scoring: Scoring) -> float:
    """Return the bytes of one batch's scoring: one layer's temporaries, and logits or the KV cache.

    A layer: ``forward_bytes``. Teacher-forced logits: rows · answers · vocabulary, as they
    are and in fp32. Generation: a cache of 2 · layers · k scalars for each of context + new tokens of each row. A text
    that is read at once is one row of that many tokens, and has logits of each.
    """
    b = 4 if precision == "fp32" else 2
    layer = forward_bytes(shape, precision, scoring.rows, scoring.context)
    logits = (b + 4) * scoring.rows * scoring.answers * shape.vocabulary
    length = scoring.context + scoring.new_tokens
    cache = 2 * b * shape.layers * shape.kv_heads * shape.head_dim * scoring.rows * length
    generates = any(PROTOCOLS[protocol].generates for protocol in scoring.protocols)
    whole = forward_bytes(shape, precision, 1, scoring.at_once) + scoring.at_once * (b + 4) * shape.vocabulary
    return max(layer + max(logits, cache if generates else 0), whole)


def forward_bytes(shape: Shape, precision: Precision, rows: int, tokens: int) -> float:
    """Return the bytes of a forward that keeps nothing: one layer's, rows · tokens · (2 hidden + 3 intermediate)."""
    return (4 if precision == "fp32" else 2) * rows * tokens * (2 * shape.hidden + 3 * shape.intermediate)
