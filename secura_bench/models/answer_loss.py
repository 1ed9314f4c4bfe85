"""The cross-entropy of a batch's answer tokens; where a model is asked to, without the logits of all of them at once.

Chunked, a few hundred tokens go through the head at a time, and again in the backward pass: of N tokens are kept the
hidden states, N · hidden, instead of log-probabilities, N · vocabulary. That is done where the model calls its head,
within the one call of the wrapped model, so that wrappers (data parallel, autocast, PEFT) and adapters of the head
keep working.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from secura_bench.models.head import answer_logits, output_head

if TYPE_CHECKING:
    from secura_bench.data.collate import Batch

CHUNK = 256
"""Answer tokens that go through the head at once."""

_PLACE = "chunks"  # the attribute of the language model's head by which a model is asked for chunks


@dataclass(frozen=True)
class Finish:
    """What a model does to its head's logits x, as its configuration says: cap · tanh(times · x / over / cap).

    Cohere has ``times``, Granite ``over`` and Gemma ``cap``; None is left out.
    """

    times: float | None = None
    over: float | None = None
    cap: float | None = None

    @classmethod
    def of(cls, config: Any) -> Finish:
        """Return what a model's configuration says, transformers' own."""
        text = config.get_text_config()

        def said(*keys: str) -> float | None:
            return next((value for key in keys if (value := getattr(text, key, None)) is not None), None)

        return cls(
            times=said("logit_scale", "lm_head_multiplier", "output_multiplier"),
            over=said("logits_scaling"),
            cap=said("final_logit_softcapping", "logits_soft_cap"),
        )

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the model's logits, from its head's."""
        if self.times is not None:
            logits = logits * self.times
        if self.over is not None:
            logits = logits / self.over
        return logits if self.cap is None else (logits / self.cap).tanh() * self.cap


@dataclass(frozen=True)
class Chunks:
    """How a model's losses are made in chunks: of ``size`` answer tokens each, by logits that it finishes so."""

    finish: Finish
    size: int = CHUNK


def lend_chunks(model: nn.Module, chunks: Chunks | None) -> None:
    """Have ``answer_loss`` of ``model`` made in chunks; None has it made at once."""
    setattr(output_head(model), _PLACE, chunks)


def answer_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Return Σ weight · cross-entropy over the batch's N answer tokens, a scalar, and their logits (N, vocabulary).

    Of a loss that is made in chunks there are no logits: None. Rows that classification heads answer have one token
    each, and are no cause for chunks.
    """
    chunks: Chunks | None = getattr(output_head(model), _PLACE, None)
    if chunks is not None and not batch.heads:
        return _in_chunks(model, batch, chunks), None
    logits = answer_logits(model, batch)
    losses = F.cross_entropy(logits.float(), batch.targets, reduction="none")
    return (losses * batch.weights).sum(), logits


def _in_chunks(model: nn.Module, batch: Batch, chunks: Chunks) -> Tensor:
    head = output_head(model)
    sums: list[Tensor] = []

    def cost(hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        logits = chunks.finish(head(hidden.unsqueeze(0))[0]).float()
        return (F.cross_entropy(logits, targets, reduction="none") * weights).sum()

    def instead(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hook.remove()  # what follows calls the head itself
        hidden = inputs[0][batch.predicts]
        parts = (tensor.split(chunks.size) for tensor in (hidden, batch.targets, batch.weights))
        sums.extend(checkpoint(cost, *part, use_reentrant=False) for part in zip(*parts, strict=True))
        return (hidden[:0].unsqueeze(0), *inputs[1:])

    hook = head.register_forward_pre_hook(instead)
    try:
        output = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
    finally:
        hook.remove()
    # No logit is left: that sum is 0, and lets those who wait for gradients of the model's output see them come.
    total: Tensor = output.logits.float().sum()
    for part in sums:
        total = total + part
    return total
