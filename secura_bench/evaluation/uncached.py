"""Generation and likelihoods without a cache, for models whose memory cannot be trusted: slower, and right.

Rows are padded on the right, where nothing that is read from left to right looks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from secura_bench.data.chat import ChatFormat
from secura_bench.evaluation.prompt_cache import read_uncached

Ids = Sequence[int]


@torch.no_grad()
def greedy_uncached(model: nn.Module, prompts: Sequence[Ids], chat: ChatFormat, max_new_tokens: int) -> list[list[int]]:
    """Return what ``greedy`` does, each prompt's continuation up to and with its end of turn, reading all each time."""
    rows = [list(prompt) for prompt in prompts]
    alive = list(range(len(rows)))
    for _ in range(max_new_tokens):
        best = read_uncached(model, [rows[row] for row in alive], [1] * len(alive), chat.pad_id).argmax(dim=-1)
        for row, token in zip(alive, best.tolist(), strict=True):
            rows[row].append(token)
        alive = [row for row in alive if rows[row][-1] not in chat.stop_ids]
        if not alive:
            break
    return [row[len(prompt) :] for row, prompt in zip(rows, prompts, strict=True)]


@torch.no_grad()
def log_likelihoods_uncached(
    model: nn.Module, prompts: Sequence[Ids], choices: Sequence[Sequence[Ids]], pad_id: int, batch_size: int
) -> list[list[float]]:
    """Return log p(choice | prompt) in nats, for every choice of every prompt, each read as one whole row."""
    sums = [[0.0] * len(mine) for mine in choices]
    places = [(row, n) for row, mine in enumerate(choices) for n in range(len(mine))]
    places.sort(key=lambda place: (-len(prompts[place[0]]) - len(choices[place[0]][place[1]]), place))
    for start in range(0, len(places), batch_size):
        chunk = places[start : start + batch_size]
        texts = [choices[row][n] for row, n in chunk]
        rows = [(*prompts[row], *ids[:-1]) for (row, _), ids in zip(chunk, texts, strict=True)]
        logits = read_uncached(model, rows, [len(ids) for ids in texts], pad_id).float()
        targets = torch.tensor([token for ids in texts for token in ids], device=logits.device)
        losses = F.cross_entropy(logits, targets, reduction="none").double().split([len(ids) for ids in texts])
        for (row, n), mine in zip(chunk, losses, strict=True):
            sums[row][n] = -mine.sum().item()
    return sums
