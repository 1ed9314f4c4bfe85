"""Scoring by generation: greedy, batched, left-padded, with a KV cache; each row stops at its end of turn.

A row's place is taken by the next one where that moves no answer: in fp32. In 16 bits the likeliest of two tokens that
are nearly as likely depends on which rows stand beside it, so there batches stay as they were put together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

import torch
from torch import nn

from secura_bench.data.chat import ChatFormat
from secura_bench.data.example import Example
from secura_bench.evaluation.memory import memory_of, opening_of
from secura_bench.evaluation.predictions import Prediction, Scored, long_first
from secura_bench.evaluation.prompt_cache import NO_OPENING, Opening, read
from secura_bench.evaluation.slots import answer
from secura_bench.evaluation.uncached import greedy_uncached

TOGETHER = 8  # batches, whose last rows wait for each other: more would save little, and a restart would repeat more


@torch.no_grad()
def generate(
    model: nn.Module,
    examples: Sequence[Example],
    chat: ChatFormat,
    batch_size: int,
    max_new_tokens: int,
    known: Collection[int] = (),
    continuous: bool = False,
) -> Iterator[Scored]:
    """Yield the predictions of every example, about ``batch_size`` at a time, which changes memory and time alone.

    ``continuous``: a row that is finished is replaced by a waiting one, of those in the same ``TOGETHER`` batches. So
    a row has the same company whatever is known of the others, and whichever of them another process asks.
    """
    model.eval()
    memory = memory_of(model)
    opening = opening_of(model, [example.prompt_ids for example in examples])

    def scored(numbers: Sequence[int], answers: Sequence[list[int]]) -> Scored:
        pairs = zip(numbers, answers, strict=True)
        return [(i, Prediction(chat.decode(ids), cut=not ids or ids[-1] not in chat.stop_ids)) for i, ids in pairs]

    replaces = continuous and memory.joins
    size = batch_size * TOGETHER if replaces else batch_size
    for numbers in long_first(examples, size, known, length=lambda example: len(example.prompt_ids)):
        prompts = [examples[i].prompt_ids for i in numbers]
        if replaces:
            ended = answer(model, prompts, chat.pad_id, chat.stop_ids, batch_size, max_new_tokens, opening)
            while some := sorted(islice(ended, batch_size)):
                yield scored([numbers[row] for row, _ in some], [ids for _, ids in some])
        elif memory.cached:
            yield scored(numbers, greedy(model, prompts, chat, max_new_tokens, opening))
        else:
            yield scored(numbers, greedy_uncached(model, prompts, chat, max_new_tokens))


@torch.no_grad()
def greedy(
    model: nn.Module,
    prompts: Sequence[tuple[int, ...]],
    chat: ChatFormat,
    max_new_tokens: int,
    opening: Opening = NO_OPENING,
) -> list[list[int]]:
    """Return the most likely continuation of each prompt, up to and with its end of turn, at most ``max_new_tokens``.

    Rows that have ended leave the batch, and their part of the cache with them.
    """
    prefix = read(model, prompts, chat.pad_id, opening)
    cache, mask, best = prefix.cache, prefix.mask, prefix.logits.argmax(dim=-1)
    positions = prefix.lengths[:, None]
    device = mask.device
    stops = torch.tensor(sorted(chat.stop_ids), device=device)
    answers: list[list[int]] = [[] for _ in prompts]
    alive = torch.arange(len(prompts), device=device)
    for left in range(max_new_tokens - 1, -1, -1):
        for row, token in zip(alive.tolist(), best.tolist(), strict=True):
            answers[row].append(token)
        going = ~torch.isin(best, stops)
        if not left or not going.any():
            break
        if not going.all():
            keep = going.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            alive, best, mask, positions = alive[keep], best[keep], mask[keep], positions[keep]
        mask = torch.cat([mask, mask.new_ones((len(mask), 1))], dim=1)
        output = model(
            input_ids=best[:, None],
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        best = output.logits[:, -1].argmax(dim=-1)
        positions = positions + 1
    return answers
