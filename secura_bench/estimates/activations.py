"""What a forward keeps for the backward pass, from shapes alone: counted op by op, none of it fitted.

The counts are those of transformers' decoders of the Llama layout under torch's attention kernels, and tests hold them
against what autograd saves. b is the bytes of a computed scalar, r that of the residual stream's.
"""

from __future__ import annotations

from dataclasses import dataclass

from secura_bench.methods.footprint import Footprint
from secura_bench.methods.kept import Computing
from secura_bench.models.shape import FAMILIES, Shape
from secura_bench.spec.sections import TrainSpec
from secura_bench.spec.types import Precision


@dataclass(frozen=True)
class Batch:
    """What goes through the model at once: rows, tokens of the longest of them, and its answer tokens."""

    rows: int
    context: int
    answers: int

    @property
    def tokens(self) -> int:
        """Tokens, padding included."""
        return self.rows * self.context


@dataclass(frozen=True)
class Activations:
    """Bytes at the moment when there are most.

    Attributes:
        saved: kept from the forward for the backward pass.
        loss, layer: what comes and goes beside them, at most, while the loss's gradient is made, and then a layer's.
    """

    saved: float
    loss: float
    layer: float


def computing_of(precision: Precision, on_gpu: bool = False) -> Computing:
    """Return in which dtypes a run of ``precision`` computes."""
    return Computing(
        scalar=4 if precision == "fp32" else 2,
        trained=4 if precision in ("fp32", "bf16") else 2,
        autocast=precision == "bf16",
        on_gpu=on_gpu,
    )


def activations(
    footprint: Footprint, shape: Shape, train: TrainSpec, everything: bool, batch: Batch, on_gpu: bool = False
) -> Activations:
    """Return the bytes of a forward's activations, for one micro-batch.

    ``everything``: whether all weights are trained, or else those of ``Footprint.adapted`` alone.

    Saved: ``layer_bytes`` of every layer, the last norm's, and log-probabilities, 4 vocabulary an answer token (Gemma
    2 keeps its capped logits too, b vocabulary). Under ``gradient_checkpointing`` a layer keeps its input alone, r
    hidden, and one at a time is computed again.
    While the loss's gradient is made there are two more such tensors, and ``Footprint.kept_logits`` of the method's;
    while a layer's is, 3 intermediate of the MLP's inner gradients, and the residual stream's.
    """
    computing = computing_of(train.precision, on_gpu)
    r = residual_bytes(computing, everything)
    layer, weights = layer_bytes(footprint, shape, computing, everything, batch)
    weights += 4.0 * footprint.kept_weights * shape.hidden * shape.head_dim * (shape.heads + shape.kv_heads)
    logits = 4.0 * batch.rows * batch.answers * shape.vocabulary
    capped = computing.scalar / 4 * logits if shape.family == "gemma2" else 0.0
    once = (4 + r * everything) * shape.hidden * batch.tokens + logits + capped
    inner = batch.tokens * (3 * computing.scalar * shape.intermediate + r * shape.hidden)
    whole = batch.tokens * layer + weights
    loss = (2 + footprint.kept_logits) * logits
    if train.gradient_checkpointing:
        return Activations(batch.tokens * r * shape.hidden * shape.layers + once, loss, whole + inner)
    return Activations(whole * shape.layers + once, loss, inner)


def residual_bytes(computing: Computing, everything: bool) -> int:
    """Return the bytes of a scalar of the residual stream, which has the embedding's dtype."""
    return computing.trained if everything else computing.scalar


def layer_bytes(
    footprint: Footprint, shape: Shape, computing: Computing, everything: bool, batch: Batch
) -> tuple[float, float]:
    """Return what one layer keeps: bytes a token, and bytes whatever the tokens.

    With q = heads · head_dim and k = kv_heads · head_dim:

    - norms, two (Gemma 2: four): their input in fp32, 4 hidden; where they are trained the normalised too, r hidden;
    - the inputs of query, key and value, of gate and up, and of down: b hidden, b hidden, b intermediate, where those
      are trained; under autocast each of the five has its own cast of the two; adapters say what they keep;
    - attention: queries and the output, 2 b q; keys and values, 2 b k, which grow to 2 b q where rows are padded, for
      a mask lets no kernel repeat heads by itself; the mask, b · context; a sum a head, 4 heads;
      eager attention (Gemma 2): 3 b q, and 8 heads · context: capped logits, softmax in fp32, and its cast;
      where everything is trained, the output once more, in the order that its projection reads;
    - MLP: gate, its activation and up, 3 b intermediate.
    """
    b, hidden, heads = computing.scalar, shape.hidden, shape.heads
    q, k = heads * shape.head_dim, shape.kv_heads * shape.head_dim
    padded, eager = batch.rows > 1, shape.family == "gemma2"
    token = FAMILIES[shape.family] * 4.0 * hidden
    if eager:
        token += 3 * b * q + 8 * heads * batch.context
    else:
        token += 2 * b * q + 2 * b * (q if padded else k) + b * batch.context * padded + 4 * heads
    token += 3 * b * shape.intermediate
    if everything:
        normalised = 4 if eager else residual_bytes(computing, True)
        token += FAMILIES[shape.family] * normalised * hidden
        token += b * ((5 if computing.autocast else 2) * hidden + shape.intermediate + eager * q)
        return token, 0.0
    weights, shared = 0.0, set()
    for name in footprint.adapted:
        source, inputs, outputs = _module(name, shape)
        kept = footprint.kept(inputs, outputs, computing)
        token += kept.token
        weights += kept.weights
        if kept.shares and (source != "output" or eager):  # attention's output is there already
            shared.add((source, inputs))
    return token + b * sum(inputs for _, inputs in shared), weights


def adapted_scalars(footprint: Footprint, shape: Shape) -> int:
    """Return the scalars of the largest adapted weight of a layer."""
    return max(inputs * outputs for inputs, outputs in adapted_sizes(footprint, shape))


def adapted_sizes(footprint: Footprint, shape: Shape) -> list[tuple[int, int]]:
    """Return the numbers of inputs and outputs of a layer's adapted modules."""
    return [_module(name, shape)[1:] for name in footprint.adapted]


def _module(name: str, shape: Shape) -> tuple[str, int, int]:
    """Return which tensor a layer's module reads, and its numbers of inputs and outputs; 0 of one that is no such."""
    q, k = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    return {
        "q_proj": ("attention", shape.hidden, q),
        "k_proj": ("attention", shape.hidden, k),
        "v_proj": ("attention", shape.hidden, k),
        "o_proj": ("output", q, shape.hidden),
        "gate_proj": ("mlp", shape.hidden, shape.intermediate),
        "up_proj": ("mlp", shape.hidden, shape.intermediate),
        "down_proj": ("inner", shape.intermediate, shape.hidden),
    }.get(name, ("", 0, 0))
