"""Scoring by likelihood: each choice given the prompt. A prompt is computed once, whatever follows it.

The prompts of a batch fill a KV cache, and every choice goes on from its prompt's part of it. What is scored is the
text of a choice, without its letter and without an end of turn, as the assistant's words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from secura_bench.data.chat import ChatFormat
from secura_bench.data.example import Example
from secura_bench.evaluation.memory import memory_of, opening_of
from secura_bench.evaluation.predictions import Prediction, Scored, long_first, with_choices
from secura_bench.evaluation.prompt_cache import NO_OPENING, Opening, Prompts, branch, read
from secura_bench.evaluation.uncached import log_likelihoods_uncached
from secura_bench.foundation.errors import DataError
from secura_bench.models.head import head_at
from secura_bench.models.unpadded import unpadded

Ids = Sequence[int]

_BRANCHES = 4  # how many times a batch's rows go on at once: what bounds the copies of the cache


@torch.no_grad()
def choice(
    model: nn.Module, examples: Sequence[Example], chat: ChatFormat, batch_size: int, known: Collection[int] = ()
) -> Iterator[Scored]:
    """Yield the predictions of the examples with choices, batch by batch; the others are left out.

    ``text`` is the choice of the highest log-likelihood, ``loss`` minus that of the right one, in nats.

    Raises:
        DataError: A choice is no token.
    """
    model.eval()
    among = [i for i, example in enumerate(examples) if with_choices(example)]
    cached = memory_of(model).cached
    opening = opening_of(model, [examples[i].prompt_ids for i in among])
    for numbers in long_first(examples, batch_size, known, among, length=lambda example: len(example.prompt_ids)):
        mine = [examples[i] for i in numbers]
        choices = [_choice_ids(example, chat) for example in mine]
        prompts = [example.prompt_ids for example in mine]
        if cached:
            found = log_likelihoods(model, prompts, choices, chat.pad_id, batch_size, opening)
        else:
            found = log_likelihoods_uncached(model, prompts, choices, chat.pad_id, batch_size)
        scored = []
        for i, example, values in zip(numbers, mine, found, strict=True):
            row = example.row
            best = values.index(max(values))  # the first of equals, as NumPy's argmax
            right = row.answer_index or 0
            scored.append(
                (
                    i,
                    Prediction(
                        text=(row.choices or ())[best],
                        correct=best == right,
                        loss=-values[right],
                        choices=tuple(values),
                    ),
                )
            )
        yield scored


def _choice_ids(example: Example, chat: ChatFormat) -> list[Ids]:
    ids: list[Ids] = [chat.answer_ids(text) for text in example.row.choices or ()]
    if not all(ids):
        raise DataError(f"task {example.task!r}, row {example.row.id!r}: a choice has no token; it cannot be scored.")
    return ids


def log_likelihoods(
    model: nn.Module,
    prompts: Sequence[Ids],
    choices: Sequence[Sequence[Ids]],
    pad_id: int,
    batch_size: int,
    opening: Opening = NO_OPENING,
) -> list[list[float]]:
    """Return log p(choice | prompt) in nats, for every choice of every prompt, each of one token or more."""
    prefix = read(model, prompts, pad_id, opening)
    first = F.log_softmax(prefix.logits.float(), dim=-1)
    sums = [[first[row, ids[0]].item() for ids in mine] for row, mine in enumerate(choices)]
    going = [(row, n) for row, mine in enumerate(choices) for n, ids in enumerate(mine) if len(ids) > 1]
    going.sort(key=lambda place: (-len(choices[place[0]][place[1]]), place))
    step = _BRANCHES * batch_size
    for start in range(0, len(going), step):
        places = going[start : start + step]
        more = _continued(model, prefix, [row for row, _ in places], [choices[row][n] for row, n in places], pad_id)
        for (row, n), value in zip(places, more, strict=True):
            sums[row][n] += value
    return sums


def _continued(
    model: nn.Module, prefix: Prompts, rows: Sequence[int], continuations: Sequence[Ids], pad_id: int
) -> list[float]:
    """Return the log-likelihood of each continuation after its first token, given that and its row's prompt."""
    device = prefix.mask.device
    chosen = torch.tensor(rows, device=device)
    length = max(map(len, continuations)) - 1
    ids = torch.full((len(rows), length), pad_id)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for row, continuation in enumerate(continuations):
        ids[row, : len(continuation) - 1] = torch.tensor(continuation[:-1])
        mask[row, : len(continuation) - 1] = 1
    ids, mask = ids.to(device), mask.to(device)
    with head_at(model, mask.bool()), unpadded(model, mask):
        output = model(
            input_ids=ids,
            attention_mask=torch.cat([prefix.mask[chosen], mask], dim=1),
            position_ids=prefix.lengths[chosen, None] + torch.arange(length, device=device),
            past_key_values=branch(prefix.cache, chosen),
            use_cache=True,
        )
    targets = torch.tensor([token for continuation in continuations for token in continuation[1:]], device=device)
    losses = F.cross_entropy(output.logits[0].float(), targets, reduction="none")
    places = mask.nonzero()[:, 0]
    sums = torch.zeros(len(rows), dtype=torch.float64, device=device)
    return (-sums.index_add(0, places, losses.double())).tolist()
