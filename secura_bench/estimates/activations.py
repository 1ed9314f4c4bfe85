"""What a forward keeps for the backward pass, from shapes alone: counted op by op, none of it fitted.

The counts are those of transformers' decoders of the Llama layout under torch's attention kernels, and tests hold them
against what autograd saves. b is the bytes of a computed scalar, r that of the residual stream's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from secura_bench.estimates.activations_gpt2 import attends_in_parts, gpt2_token_bytes
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.kept import Computing
from secura_bench.models.answer_loss import CHUNK
from secura_bench.models.shape import FAMILIES, Module, Shape
from secura_bench.models.shape_gpt2 import GPT2Shape
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
    while a layer's is, 3 intermediate of the MLP's inner gradients, and the residual stream's. A loss in chunks keeps
    the hidden state of an answer token, r hidden, and makes all three of a chunk's tokens alone, one chunk at a time.
    """
    computing = computing_of(train.precision, on_gpu)
    r = residual_bytes(computing, everything)
    layer, weights = layer_bytes(footprint, shape, computing, everything, batch)
    weights += 4.0 * footprint.kept_weights * sum(math.prod(size) for size in adapted_sizes(footprint, shape))
    answers = batch.rows * batch.answers
    in_chunks = "chunked" in (train.kernels or ())
    logits = 4.0 * (min(CHUNK, answers) if in_chunks else answers) * shape.vocabulary
    capped = computing.scalar / 4 * logits if _eager(shape) else 0.0
    of_loss = r * shape.hidden * answers if in_chunks else logits + capped
    once = (4 + r * everything) * shape.hidden * batch.tokens + of_loss
    inner = batch.tokens * (3 * computing.scalar * shape.intermediate + r * shape.hidden)
    whole = batch.tokens * layer + weights
    loss = (2 + footprint.kept_logits + in_chunks) * logits + in_chunks * capped
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

    That is the model's own, and where adapters are trained alone what they say, and what they read of it.
    """
    if isinstance(shape, GPT2Shape):
        token = gpt2_token_bytes(shape, computing, everything, batch.context)
        has_output = not attends_in_parts(shape, computing)
    else:
        token = token_bytes(shape, computing, everything, batch)
        has_output = not _eager(shape)
    if everything:
        return token, 0.0
    weights, shared = 0.0, set()
    for module in _adapted(footprint, shape):
        kept = footprint.kept(module.inputs, module.outputs, computing)
        token += kept.token
        weights += kept.weights
        if kept.shares and not (module.source == "output" and has_output):
            shared.add((module.source, module.inputs))
    return token + computing.scalar * sum(inputs for _, inputs in shared), weights


def token_bytes(shape: Shape, computing: Computing, everything: bool, batch: Batch) -> float:
    """Return what one layer of the Llama layout keeps of a token, in bytes.

    With q = heads · head_dim and k = kv_heads · head_dim:

    - norms, two (Gemma: four): their input in fp32, 4 hidden; where they are trained the normalised too, r hidden
      (Gemma: 4 hidden); Gemma 3 has two more of each head's queries and keys, q + k wide together;
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
    padded, eager = batch.rows > 1, _eager(shape)
    norms = FAMILIES[shape.family] * hidden + (q + k) * shape.head_norms
    token = 4.0 * norms
    if eager:
        token += 3 * b * q + 8 * heads * batch.context
    else:
        token += 2 * b * q + 2 * b * (q if padded else k) + b * batch.context * padded + 4 * heads
    token += 3 * b * shape.intermediate
    if everything:
        token += norms * (4 if shape.family.startswith("gemma") else residual_bytes(computing, True))
        token += b * ((5 if computing.autocast else 2) * hidden + shape.intermediate + eager * q)
    return token


def _eager(shape: Shape) -> bool:
    """Return whether attention is computed from its parts: Gemma 2's, for its capped logits."""
    return shape.family == "gemma2"


def adapted_scalars(footprint: Footprint, shape: Shape) -> int:
    """Return the scalars of the largest adapted weight of a layer."""
    return max((inputs * outputs for inputs, outputs in adapted_sizes(footprint, shape)), default=0)


def adapted_sizes(footprint: Footprint, shape: Shape) -> list[tuple[int, int]]:
    """Return the numbers of inputs and outputs of a layer's adapted modules."""
    return [(module.inputs, module.outputs) for module in _adapted(footprint, shape)]


def _adapted(footprint: Footprint, shape: Shape) -> list[Module]:
    """Return a layer's adapted modules; of a name that is none of its modules' one of no inputs and outputs."""
    known = {module.name for module in shape.modules}
    elsewhere = [Module(name, "", 0, 0) for name in footprint.adapted if name not in known]
    return [module for module in shape.modules if module.name in footprint.adapted] + elsewhere
