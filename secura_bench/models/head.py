"""The language-model head at answer positions alone.

Answers are a fraction of a batch and vocabularies are large, so most of the head's work would be thrown away. The
positions are picked in front of the head, inside the one call of the wrapped model, so that wrappers (data
parallel, autocast, PEFT) and what a model does to its logits afterwards (Gemma-2's soft cap) keep working.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from secura_bench.models.task_heads import TaskHeads

if TYPE_CHECKING:
    from secura_bench.data.collate import Batch

_PLACE = "task_heads"  # the attribute of the language model's head by which a model is lent its tasks' heads


def answer_logits(model: nn.Module, batch: Batch) -> Tensor:
    """Return the logits, (N, vocabulary), from which the batch's N answer tokens are predicted.

    Of rows that classification heads answer they are the heads', (N, classes).
    """
    with reading(model, batch) as logits_of:
        output = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
    return logits_of(output)


@contextmanager
def reading(model: nn.Module, batch: Batch) -> Iterator[Callable[[Any], Tensor]]:
    """Lend what makes the batch's answer logits of the model's output, which is computed within this context."""
    if not batch.heads:
        with head_at(model, batch.predicts):
            yield lambda output: output.logits[0]
        return
    head, held = output_head(model), []
    own = torch.tensor([name is None for name in batch.heads], device=batch.predicts.device)

    def pick(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *rest = inputs
        held.append(hidden[batch.predicts])
        return (held[0][own].unsqueeze(0), *rest)

    hook = head.register_forward_pre_hook(pick)
    try:
        yield lambda output: _lent(head).logits(held[0], batch.heads, output.logits[0])
    finally:
        hook.remove()


@contextmanager
def head_at(model: nn.Module, positions: Tensor) -> Iterator[None]:
    """Within this context the head sees only ``positions`` (B, T) bool, as one row: logits are (1, N, vocabulary)."""

    def pick(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *rest = inputs
        return (hidden[positions].unsqueeze(0), *rest)

    hook = output_head(model).register_forward_pre_hook(pick)
    try:
        yield
    finally:
        hook.remove()


def output_head(model: nn.Module) -> nn.Module:
    """Return the module that maps hidden states to logits, through data-parallel and PEFT wrappers.

    Raises:
        TypeError: The model is no causal language model of transformers.
    """
    inner = model.module if hasattr(model, "module") else model
    find = getattr(inner, "get_output_embeddings", None)
    head = find() if find else None
    if head is None:
        raise TypeError(f"{type(inner).__name__} has no output embeddings; a causal language model is needed.")
    return head


def hidden_width(model: nn.Module) -> int:
    """Return the width of the hidden states that the language model's head gets."""
    head: Any = output_head(model)
    return int(head.in_features if hasattr(head, "in_features") else head.weight.shape[-1])


def lend_heads(model: nn.Module, heads: TaskHeads | None) -> None:
    """Let the rows that classification heads answer be read through ``heads``; None takes them away."""
    setattr(output_head(model), _PLACE, heads)


@contextmanager
def lent_heads(model: nn.Module, heads: TaskHeads | None) -> Iterator[None]:
    """Within this context ``model`` has ``heads``; one of shapes alone needs none."""
    if heads is None:
        yield
        return
    lend_heads(model, heads)
    try:
        yield
    finally:
        lend_heads(model, None)


def _lent(head: nn.Module) -> TaskHeads:
    heads = getattr(head, _PLACE, None)
    if not isinstance(heads, TaskHeads):
        raise TypeError("a row is to be classified, and the model was lent no heads: models.head.lend_heads")
    return heads
