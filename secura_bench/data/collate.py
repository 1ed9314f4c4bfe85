"""Batches: unpadded examples to padded tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from secura_bench.data.example import Example

IGNORE = -100


@dataclass(frozen=True)
class Batch:
    """A padded batch. ``B`` rows, ``T`` positions, ``N`` answer tokens over all rows.

    Of a row that a classification head answers the label is the one answer token, predicted at its last real token.

    Attributes:
        input_ids: (B, T) token ids.
        attention_mask: (B, T), 1 on real tokens.
        predicts: (B, T) bool, true where the next token is an answer token: the positions that need the LM head.
        targets: (N,) the answer tokens, in the order in which ``predicts`` picks them.
        weights: (N,) what each answer token's loss is multiplied with.
        rows: (N,) the row of each answer token.
        replayed: (B,) bool, true where a row comes from a buffer.
        heads: the task whose head predicts each of the N, None for the language model's own; empty where that does all.
    """

    input_ids: Tensor
    attention_mask: Tensor
    predicts: Tensor
    targets: Tensor
    weights: Tensor
    rows: Tensor
    replayed: Tensor
    heads: tuple[str | None, ...] = ()

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``; the very batch, where it is there."""
        if self.input_ids.device == device:
            return self
        tensors = {name: held for name, held in vars(self).items() if isinstance(held, Tensor)}
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
        return replace(self, **moved)  # type: ignore[arg-type] # mypy takes all fields for one type


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """Pad on the right and mark the answer positions."""
    length = max(len(example) for example in examples)
    input_ids = torch.full((len(examples), length), pad_id)
    attention_mask = torch.zeros((len(examples), length), dtype=torch.long)
    labels = torch.full((len(examples), length), IGNORE)
    for i, example in enumerate(examples):
        ids = torch.tensor(example.read_ids)
        input_ids[i, : len(ids)] = ids
        attention_mask[i, : len(ids)] = 1
        if example.head is None:
            labels[i, len(example.prompt_ids) : len(ids)] = torch.tensor(example.answer_ids)
    following = torch.full_like(labels, IGNORE)
    following[:, :-1] = labels[:, 1:]
    for i, example in enumerate(examples):
        if example.head is not None:
            following[i, len(example) - 1] = example.answer_ids[0]
    predicts = following != IGNORE
    rows = predicts.nonzero()[:, 0]
    weights = torch.tensor([example.weight for example in examples])[rows]
    replayed = torch.tensor([example.replayed for example in examples])
    named = any(example.head for example in examples)
    heads = tuple(examples[row].head for row in rows.tolist()) if named else ()
    return Batch(input_ids, attention_mask, predicts, following[predicts], weights, rows, replayed, heads)
