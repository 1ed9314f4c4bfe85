"""Scoring by generation: greedy, batched, left-padded, with a KV cache; each row stops at its end of turn."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import nn

from secura_bench.data.chat import ChatFormat
from secura_bench.data.example import Example
from secura_bench.evaluation.memory import memory_of, opening_of
from secura_bench.evaluation.predictions import Prediction, Scored, long_first
from secura_bench.evaluation.prompt_cache import NO_OPENING, Opening, read
from secura_bench.evaluation.uncached import greedy_uncached


@torch.no_grad()
def generate(
    model: nn.Module,
    examples: Sequence[Example],
    chat: ChatFormat,
    batch_size: int,
    max_new_tokens: int,
    known: Collection[int] = (),
) -> Iterator[Scored]:
    """Yield the predictions of every example, batch by batch; the batch size changes memory and time alone."""
    model.eval()
    cached = memory_of(model).cached
    opening = opening_of(model, [example.prompt_ids for example in examples])
    for numbers in long_first(examples, batch_size, known, length=lambda example: len(example.prompt_ids)):
        prompts = [examples[i].prompt_ids for i in numbers]
        if cached:
            answers = greedy(model, prompts, chat, max_new_tokens, opening)
        else:
            answers = greedy_uncached(model, prompts, chat, max_new_tokens)
        scored = []
        for i, answer in zip(numbers, answers, strict=True):
            stopped = bool(answer) and answer[-1] in chat.stop_ids
            scored.append((i, Prediction(text=chat.decode(answer), cut=not stopped)))
        yield scored


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
