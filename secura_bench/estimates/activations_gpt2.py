"""What a layer of GPT-2 keeps for the backward pass: no gate, layer norms, and masks where training draws dropout."""

from __future__ import annotations

from secura_bench.methods.kept import Computing
from secura_bench.models.shape_gpt2 import GPT2Shape


def gpt2_token_bytes(shape: GPT2Shape, computing: Computing, everything: bool, context: int) -> float:
    """Return the bytes a token; b is those of a computed scalar, r those of the residual stream's.

    - norms, two: their input, r hidden each (a GPU's autocast: 4 hidden);
    - attention: queries, keys, values and the output, 4 b hidden; a sum a head, 4 heads; from its parts, in fp32:
      queries, keys and values, 12 hidden, softmax, dropout's mask and their product, 12 heads · context;
    - MLP: gelu_new from its parts, 4 b intermediate: its input, half of that, the tanh, and one more than the tanh;
    - dropout of what is added to the residual stream: two masks, of a scalar as computed (a GPU: a byte), hidden each;
    - the inputs of its four linear layers, 3 b hidden + b intermediate, where those are trained.
    """
    b, hidden = computing.scalar, shape.hidden
    on_a_gpu = computing.autocast and computing.on_gpu
    token = 2.0 * (4 if on_a_gpu else computing.trained if everything else b) * hidden
    if attends_in_parts(shape, computing):
        token += 12 * hidden + 12 * shape.heads * context
    else:
        token += 4 * b * hidden + 4 * shape.heads
    token += 4 * b * shape.intermediate
    token += 2 * (1 if computing.on_gpu else b) * hidden * shape.residual_dropout
    return token + everything * b * (3 * hidden + shape.intermediate)


def attends_in_parts(shape: GPT2Shape, computing: Computing) -> bool:
    """Return whether attention is computed from its parts: no kernel of a CPU has dropout."""
    return shape.attention_dropout and not computing.on_gpu
