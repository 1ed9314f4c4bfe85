"""Perplexity of plain text: token-level, by sliding windows, each token predicted exactly once.

Windows overlap by half, so that every token but those of a text's first window is predicted from at least half a
window of text before it. This is the strided evaluation of the transformers documentation ("Perplexity of fixed-length
models"). A text's first token is predicted from the beginning-of-sequence token; where the tokenizer has none it has
no context, and is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from secura_bench.data.chat import ChatFormat
from secura_bench.data.collate import collate
from secura_bench.data.example import Example
from secura_bench.evaluation.predictions import Prediction, Scored, long_first
from secura_bench.evaluation.prompt_cache import config_of
from secura_bench.models.head import answer_logits
from secura_bench.models.unpadded import unpadded


@torch.no_grad()
def perplexity(
    model: nn.Module,
    examples: Sequence[Example],
    chat: ChatFormat,
    batch_size: int,
    window: int,
    known: Collection[int] = (),
) -> Iterator[Scored]:
    """Yield the predictions of every text, batch by batch; ``window`` is in tokens, and so is ``tokens``.

    ``loss`` is the mean over the text's predicted tokens in nats, None where there is no such token.
    """
    model.eval()
    device = next(model.parameters()).device
    for numbers in long_first(examples, batch_size, known):
        nats = dict.fromkeys(numbers, 0.0)
        tokens = dict.fromkeys(numbers, 0)
        pieces = [(i, piece) for i in numbers for piece in windows(examples[i], window)]
        pieces.sort(key=lambda piece: -len(piece[1]))  # stable
        for start in range(0, len(pieces), batch_size):
            chunk = pieces[start : start + batch_size]
            batch = collate([piece for _, piece in chunk], chat.pad_id).to(device)
            with unpadded(model, batch.attention_mask):
                logits = answer_logits(model, batch).float()
            losses = F.cross_entropy(logits, batch.targets, reduction="none").double()
            for row, (i, _) in enumerate(chunk):
                mine = losses[batch.rows == row]
                nats[i] += mine.sum().item()
                tokens[i] += len(mine)
        yield [(i, Prediction(loss=nats[i] / tokens[i] if tokens[i] else None, tokens=tokens[i])) for i in numbers]


def windows(example: Example, window: int) -> Iterator[Example]:
    """Yield the text in windows: ``prompt_ids`` are context alone, ``answer_ids`` what is predicted there."""
    ids = example.prompt_ids + example.answer_ids
    done = len(example.prompt_ids)
    end = 0
    while end < len(ids):
        begin = max(0, end - (window - stride_of(window)))
        end = min(begin + window, len(ids))
        piece = replace(example, prompt_ids=ids[begin:done], answer_ids=ids[done:end])
        if len(piece) > 1 and piece.answer_ids:
            yield piece
        done = end


def window_of(model: nn.Module, context: int) -> int:
    """Return the window in tokens: ``context``, or what the model can read if that is less."""
    return min(context, getattr(config_of(model), "max_position_embeddings", None) or context)


def stride_of(window: int) -> int:
    """Return how far each window is from the one before it, in tokens."""
    return max(1, window // 2)
