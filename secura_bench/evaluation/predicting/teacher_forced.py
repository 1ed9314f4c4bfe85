"""Teacher-forced scoring: what the paper measures.

One forward over prompt and reference answer; the arg-max at each answer position, decoded, is compared with the
reference. Every token is predicted from the reference's own beginning, so scores are high without any skill:
this is not generation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secura_bench.data.chat import ChatFormat
from secura_bench.data.collate import Batch, collate
from secura_bench.data.example import Example
from secura_bench.evaluation.memory import opening_of
from secura_bench.evaluation.predictions import Prediction, Scored, long_first
from secura_bench.evaluation.prompt_cache import Opening
from secura_bench.models.head import answer_logits, head_at
from secura_bench.models.unpadded import unpadded


@torch.no_grad()
def teacher_forced(
    model: nn.Module, examples: Sequence[Example], chat: ChatFormat, batch_size: int, known: Collection[int] = ()
) -> Iterator[Scored]:
    """Yield the predictions of every example, batch by batch; the batch size changes memory and time alone.

    Special tokens are left out of the text (the public code leaves them in). ``correct`` says whether all answer
    tokens were right, end of turn included; ``loss`` is the mean cross-entropy of the answer tokens in nats.
    """
    model.eval()
    device = next(model.parameters()).device
    opening = opening_of(model, [example.prompt_ids for example in examples])
    done = len(opening.ids)
    for numbers in long_first(examples, batch_size, known):
        rest = [replace(examples[i], prompt_ids=examples[i].prompt_ids[done:]) for i in numbers]
        batch = collate(rest, chat.pad_id).to(device)
        with unpadded(model, batch.attention_mask):
            logits = (_logits_after(model, opening, batch) if done else answer_logits(model, batch)).float()
        guesses = logits.argmax(dim=-1)
        losses = F.cross_entropy(logits, batch.targets, reduction="none")
        scored = []
        for row, i in enumerate(numbers):
            mine = batch.rows == row
            answer = Prediction(
                text=chat.decode(guesses[mine].tolist()),
                correct=bool((guesses[mine] == batch.targets[mine]).all()),
                loss=losses[mine].mean().item(),
            )
            scored.append((i, answer))
        yield scored


def _logits_after(model: nn.Module, opening: Opening, batch: Batch) -> Tensor:
    """Return the logits, (N, vocabulary), from which the answer tokens of rows that go on from an opening come."""
    rows, length = batch.input_ids.shape
    done = len(opening.ids)
    places = torch.arange(done, done + length, device=batch.input_ids.device)
    with head_at(model, batch.predicts):
        output = model(
            input_ids=batch.input_ids,
            attention_mask=torch.cat([batch.attention_mask.new_ones((rows, done)), batch.attention_mask], dim=1),
            position_ids=places.expand(rows, length),
            past_key_values=opening.begin(model, rows),
            use_cache=True,
        )
    return output.logits[0]
