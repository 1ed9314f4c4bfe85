"""Scoring by a task's own classification head: the label of the highest logit at the last real token."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import nn

from secura_bench.data.collate import collate
from secura_bench.data.example import Example
from secura_bench.evaluation.predictions import Prediction, Scored, long_first
from secura_bench.models.head import answer_logits
from secura_bench.models.unpadded import unpadded


@torch.no_grad()
def classify(
    model: nn.Module, examples: Sequence[Example], pad_id: int, batch_size: int, known: Collection[int] = ()
) -> Iterator[Scored]:
    """Yield the predictions of every example, batch by batch; the batch size changes memory and time alone.

    ``text`` is the label, ``loss`` the cross-entropy of the right one in nats, ``choices`` all log-probabilities. The
    model must have been lent the task's head.
    """
    model.eval()
    device = next(model.parameters()).device
    for numbers in long_first(examples, batch_size, known):
        mine = [examples[i] for i in numbers]
        batch = collate(mine, pad_id).to(device)
        with unpadded(model, batch.attention_mask):
            likely = answer_logits(model, batch).float().log_softmax(dim=-1).tolist()
        scored = []
        for i, example, values in zip(numbers, mine, likely, strict=True):
            best, right = values.index(max(values)), example.answer_ids[0]  # the first of equals, as NumPy's argmax
            text = (example.row.choices or ())[best]
            scored.append((i, Prediction(text=text, correct=best == right, loss=-values[right], choices=tuple(values))))
        yield scored
