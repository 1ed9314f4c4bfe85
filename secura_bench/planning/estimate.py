"""What a run takes, from shapes alone. Pure functions; every formula stands in the docstring of its function.

Bytes are bytes, and sizes of tensors are in scalars. Where a number is a guess rather than a count it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from secura_bench.methods.base import Method, ParameterCount
from secura_bench.models.shape import Shape
from secura_bench.spec import ExperimentSpec, Precision, TrainSpec
from secura_bench.work import SCORED_ROW

if TYPE_CHECKING:
    from torch import nn

PROCESS = 600 * 2**20
"""What a process takes with nothing loaded: the libraries on a CPU, about as much for the context on a GPU."""


@dataclass(frozen=True)
class Memory:
    """Peak memory in bytes. ``host`` is what lies in the CPU's memory by choice; the rest is on the run's device."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    held: float
    host: float = 0.0

    @property
    def device(self) -> float:
        """What the device must hold: everything but ``host``, and the process itself."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.held + PROCESS

    def on_cpu(self) -> float:
        """Return what a machine's memory must hold if it is the device too."""
        return self.device + self.host


def frozen_bytes(precision: Precision) -> int:
    """Return the bytes of a frozen scalar: 4 in fp32, else 2."""
    return 4 if precision == "fp32" else 2


def trained_bytes(precision: Precision) -> int:
    """Return the bytes of a trained scalar, its gradient and each of Adam's moments: 4 in fp32 and bf16, else 2."""
    return 4 if precision in ("fp32", "bf16") else 2


def count_on_shape(method: Method, shape: Shape, whole: Callable[[], nn.Module] | None = None) -> ParameterCount:
    """Return what ``method.count_parameters`` gives once attached to a model of ``shape``, without building it.

    Layers are alike, so a count over L layers is n(1) + (L − 1) (n(2) − n(1)), counted on skeletons of one and two
    layers. ``method`` is not changed: fresh ones of its kind are attached. Where that does not do for a method, it is
    counted on ``whole()``, the model with all its layers and its configuration.
    """
    if whole is not None and not method.counts_by_layer:
        return type(method)(method.options).count_on(whole())
    one, two = (_count(method, shape, layers) for layers in (1, 2))

    def extended(name: str) -> int:
        first, second = getattr(one, name), getattr(two, name)
        return int(first + (shape.layers - 1) * (second - first))

    count = ParameterCount(**{name: extended(name) for name in ("trainable", "total", "held", "effective")})
    return replace(count, per_layer=count.trainable / shape.layers)


def _count(method: Method, shape: Shape, layers: int) -> ParameterCount:
    fresh = type(method)(method.options)
    return fresh.count_on(shape.skeleton(layers))


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


def memory_of(
    method: Method, count: ParameterCount, shape: Shape, train: TrainSpec, scoring: Scoring, answers: int
) -> Memory:
    """Return a run's peak memory: the larger of training and scoring, which both have weights, moments and held.

    - weights: frozen · 2 or 4 + trained · 2 or 4; under autocast (``bf16``) a bf16 copy of the trained ones as well;
    - gradients: trained · 2 or 4; optimizer: ``optimizer_bytes``; held: ``Method.held_memory``;
    - activations: ``activations`` for a micro-batch of rows of ``scoring.context`` tokens, ``answers`` of them
      supervised, and where weights are anchored three fp32 copies of the largest; in scoring, ``scoring_bytes``, when
      there are no gradients.
    """
    trained, bytes_ = count.trainable, trained_bytes(train.precision)
    weights = (count.total - trained) * frozen_bytes(train.precision) + trained * bytes_
    if train.precision == "bf16" and method.stream != "none":
        weights += 2 * trained
    on_device, host = method.held_memory(count)
    rows = train.micro_batch_size or round(train.batch_size * method.relative_rows)
    scored = scoring_bytes(shape, train.precision, scoring)
    if method.stream == "none":
        return Memory(weights, 0, 0, scored, 0)
    gradients = trained * bytes_
    kept = activations(method, shape, train, trained == count.total, rows, scoring.context, answers)
    if method.anchors_weights:
        kept += 12 * min(trained, shape.largest)
    optimizer = optimizer_bytes(trained, train, shape)
    if gradients + kept < scored:
        gradients, kept = 0, scored
    return Memory(weights, gradients, optimizer, kept, on_device, host)


def optimizer_bytes(trained: int, train: TrainSpec, shape: Shape) -> float:
    """Return the bytes of the optimizer's state and of its largest temporary.

    AdamW: two moments of the trained dtype; in 8 bits: two bytes and a scale of 4 bytes for 256 scalars each.
    Adafactor: rows and columns alone, about 2 · trained / hidden scalars in fp32, and two fp32 copies of the largest
    tensor while it is updated.
    """
    if train.optimizer == "adamw_8bit":
        return trained * 2 * (1 + 4 / 256)
    if train.optimizer == "adafactor":
        return 4 * (2 * trained / shape.hidden + 2 * min(trained, shape.largest))
    return trained * 2 * trained_bytes(train.precision)


def activations(
    method: Method, shape: Shape, train: TrainSpec, everything: bool, rows: int, context: int, answers: int
) -> float:
    """Return the bytes that a forward keeps for the backward pass, and those of the logits' gradient.

    Per token and layer, in scalars of the computing dtype, with q and k as in ``Shape.layer``: 6 hidden (two norms'
    inputs and outputs, the projections' input, the MLP's) + 2 q (queries, attention's output) + 2 k (keys, values) +
    4 intermediate (gate, its activation, up, product); where the weights are frozen, 3 intermediate, as the last
    projection's input is not kept. Two norm inputs are kept in fp32. ``gradient_checkpointing`` keeps hidden scalars
    a token and layer, those of the last norm, and one layer whole. Eager attention (Gemma 2) adds heads · context
    scalars a token, twice.
    Per answer token, vocabulary scalars: logits, their fp32 copy, log-probabilities, and the gradient, 4 · fp32.
    A method may keep weights of its own for the backward pass, ``Method.kept_weights``, in fp32.
    """
    b = 4 if train.precision == "fp32" else 2
    q, k = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    layer = b * (6 * shape.hidden + 2 * (q + k) + (4 if everything else 3) * shape.intermediate)
    layer += (4 - b) * 2 * shape.hidden
    if shape.family == "gemma2":
        layer += 2 * b * shape.heads * context
    kept_weights = 4.0 * method.kept_weights(shape.hidden * (q + k)) * shape.layers
    tokens = rows * context
    layers = layer * shape.layers
    if train.gradient_checkpointing:
        layers = b * shape.hidden * (shape.layers + 1 + everything) + layer
        kept_weights /= shape.layers
    return tokens * layers + kept_weights + rows * answers * shape.vocabulary * 4 * 4.0


@dataclass(frozen=True)
class Scoring:
    """How a spec scores: rows at once, tokens of a row at most, answer tokens of a row at most, by which protocols."""

    rows: int
    context: int
    answers: int
    new_tokens: int
    protocols: tuple[str, ...]

    @classmethod
    def of(cls, spec: ExperimentSpec, answers: int, new_tokens: int) -> Scoring:
        """Return the scoring of ``spec``."""
        evaluate = spec.evaluate
        return cls(evaluate.batch_size, spec.data.context, answers, new_tokens, tuple(evaluate.protocols))


def scoring_bytes(shape: Shape, precision: Precision, scoring: Scoring) -> float:
    """Return the bytes of one batch's scoring: one layer's temporaries, and logits or the KV cache.

    A layer: rows · context · (2 hidden + 3 intermediate). Teacher-forced logits: rows · answers · vocabulary, as they
    are and in fp32. Generation: a cache of 2 · layers · k scalars for each of context + new tokens of each row.
    """
    b = 4 if precision == "fp32" else 2
    layer = b * scoring.rows * scoring.context * (2 * shape.hidden + 3 * shape.intermediate)
    logits = (b + 4) * scoring.rows * scoring.answers * shape.vocabulary
    length = scoring.context + scoring.new_tokens
    cache = 2 * b * shape.layers * shape.kv_heads * shape.head_dim * scoring.rows * length
    return layer + max(logits, cache if "generate" in scoring.protocols else 0)


@dataclass(frozen=True)
class Work:
    """What a run does: optimizer steps, tokens through the model in training, and rows scored by protocol."""

    steps: int
    tokens: float
    scored: float
    """Rows scored, by every protocol of the spec."""


def work_of(spec: ExperimentSpec, method: Method, train: TrainSpec, tasks: int, rows: Rows) -> Work:
    """Return what a run does. The base scores once; others before training only where the start is not the base.

    Steps: ``train.steps`` a task. Tokens: steps · rows a step · a row's tokens. Scored: the probe at the end of each
    task and every ``evaluate.every`` steps within it, and with it the tasks that ``evaluate.tasks`` says.
    """
    everything = rows.probe + tasks * rows.test
    if method.stream == "none":
        return Work(0, 0, everything)
    steps = train.steps * tasks
    scored = 0.0 if method.starts_as_base else float(everything)
    stages = 1 if method.stream == "mixed" else tasks
    every = spec.evaluate.every
    length = steps // stages
    scored += stages * (1 + ((length - 1) // every if every else 0)) * rows.probe
    if stages == 1:
        scored += tasks * rows.test
    else:
        own = {"current": tasks, "seen": tasks * (tasks + 1) // 2, "all": tasks * tasks}[spec.evaluate.tasks]
        scored += own * rows.test
    return Work(steps, steps * train.batch_size * method.relative_rows * rows.tokens, scored)


@dataclass(frozen=True)
class Rows:
    """Rows of the probe and of a task's test side, and tokens of a row: measured, or bounds where data is not here."""

    probe: int
    test: float
    tokens: float
    exact: bool = False


def training_flops(shape: Shape, train: TrainSpec, everything: bool, method: Method) -> float:
    """Return the floating-point operations of training on one token.

    2 a parameter in the forward pass and 2 for the gradients of activations; 2 more for those of weights where all
    are trained; 2 more for the second forward of checkpointing; times ``Method.relative_work``. The embedding's
    look-up is none, the head's work on answers is counted as if all positions had it.
    """
    parameters = shape.layers * shape.layer + shape.embedding
    passes = 4 + 2 * everything + 2 * train.gradient_checkpointing
    return passes * parameters * method.relative_work


def scoring_flops(shape: Shape, protocols: tuple[str, ...], tokens: float) -> float:
    """Return the floating-point operations of scoring one row of ``tokens`` tokens by all ``protocols``."""
    passes = sum(SCORED_ROW[protocol] for protocol in protocols)
    return 2 * (shape.layers * shape.layer + shape.embedding) * tokens * passes


def disk_of(
    spec: ExperimentSpec, count: ParameterCount, train: TrainSpec, work: Work, method: Method, shape: Shape
) -> tuple[float, float]:
    """Return the bytes that a run leaves, and those that its checkpoint takes meanwhile.

    Left: the trained tensors where ``keep`` says so, and for every scored row about 2 kB of scores and texts.
    A checkpoint: trained tensors, the optimizer's state and what the method holds, twice while it is replaced.
    """
    trained = count.trainable * trained_bytes(train.precision)
    kept = method.stream != "none" and (
        spec.keep == "all" or (spec.keep == "adapters" and count.trainable < count.total)
    )
    left = trained * kept + work.scored * 2_000 * len(spec.evaluate.protocols)
    if method.stream == "none":
        return left, 0.0
    return left, 2 * (trained + optimizer_bytes(count.trainable, train, shape) + sum(method.held_memory(count)))


def parts(memory: Memory) -> dict[str, float]:
    """Return the parts of ``memory`` by name."""
    return {field.name: getattr(memory, field.name) for field in fields(memory)}
