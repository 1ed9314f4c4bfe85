"""Whether a model's memory can be trusted: what it says from its cache beside what it says without one.

Most decoders keep keys and values, and then a batch padded on the left reads the same as each row alone. Others keep a
state that runs over padding, look for their cache under another name, or count padding as distance: they answer as
though they had not seen the prompt, and no error says so. So each model is asked once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from secura_bench.evaluation.prompt_cache import (
    NO_OPENING,
    Opening,
    branch,
    config_of,
    read,
    read_opening,
    read_uncached,
)
from secura_bench.evaluation.slots import Rows
from secura_bench.foundation.errors import DataError

_LONG, _SHORT, _SHARED, _MORE = 24, 15, 8, 3  # tokens: of the two prompts, of their beginning, and after them
_WIDEST = 1024  # of the windows that the prompts are made longer than
_PAD = 0  # it is masked
_ROUNDING, _OWN_ROUNDING = 1e-3, 8  # of the logits' spread; of what a longer row or one rounding changes before its end
_READS_AHEAD, _READS_AHEAD_ROUNDED = 1e-2, 0.25  # of the logits' spread, in fp32 and in 16 bits


@dataclass(frozen=True)
class Memory:
    """What may be used of a model's memory without moving a score.

    Attributes:
        cached: prompts are read once, in batches padded on the left, and answers go on from the cache.
        opening: what all prompts begin with is read once, padding behind it.
        joins: rows are put beside others that are further on, each with its part of the cache.
    """

    cached: bool
    opening: bool
    joins: bool


PLAIN = Memory(True, True, True)
_KNOWN: WeakKeyDictionary[nn.Module, Memory] = WeakKeyDictionary()


def memory_of(model: nn.Module) -> Memory:
    """Return what of the model's memory gives the same logits as reading every row alone. A model is asked once.

    Raises:
        DataError: The model reads ahead, or padding on the right changes what stands before it. No batch is right then.
    """
    inner: Any = model.module if hasattr(model, "module") else model
    if inner not in _KNOWN:
        _KNOWN[inner] = _ask(model)
    return _KNOWN[inner]


def opening_of(model: nn.Module, prompts: Sequence[Sequence[int]]) -> Opening:
    """Let ``model`` read the tokens that all prompts begin with, if that saves time and changes no number."""
    return read_opening(model, prompts) if memory_of(model).opening else NO_OPENING


def note_of(model: nn.Module) -> str | None:
    """Return what a reader of scores must know of the model's memory, None if the plain cache was used."""
    inner: Any = model.module if hasattr(model, "module") else model
    if _KNOWN.get(inner, PLAIN).cached:
        return None
    return "the model's cache does not agree with reading without one: generate and choice were scored without it"


@torch.no_grad()
def _ask(model: nn.Module) -> Memory:
    was_training = model.training
    model.eval()
    try:
        prompts, more = _rows(model)
        whole = [(*prompt, *ids) for prompt, ids in zip(prompts, more, strict=True)]
        end = _MORE + 1
        truth = torch.stack([read_uncached(model, [row], [end], _PAD).float() for row in whole])
        if not truth.isfinite().all():  # a model that has lost its numbers says nothing, one way or the other
            return PLAIN
        spread = truth.std().item()
        first = torch.cat([read_uncached(model, [prompt], [1], _PAD).float() for prompt in prompts])
        own = _apart(first, truth[:, 0])
        rounding = _rounding_of(truth)
        allowed = max(_ROUNDING * spread, _OWN_ROUNDING * max(own, rounding * spread))
        beside = read_uncached(model, whole, [end, end], _PAD).float().view_as(truth)
        ahead = _READS_AHEAD_ROUNDED if rounding else _READS_AHEAD
        # To refuse a model takes more than roundings, which in 16 bits add up; its cache is not trusted beyond them.
        refused = max(allowed, ahead * spread) if rounding else allowed
        if own > ahead * spread or not _apart(beside, truth) <= refused:
            raise DataError(
                f"model {type(model).__name__}: what it says at a token depends on what comes after it, or on padding: "
                f"it is no causal language model that rows can be scored in batches with."
            )
        cached = _agrees(lambda: _by_cache(model, prompts, more), truth, allowed)
        opening = cached and _agrees(lambda: _after_opening(model, prompts, more), truth, allowed)
        joins = cached and _agrees(lambda: _by_joining(model, prompts, more), truth[:, 1:], allowed)
        return Memory(cached, opening, joins)
    finally:
        model.train(was_training)


def _rows(model: nn.Module) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return two prompts that begin alike, longer than any small window, and what comes after each."""
    config = config_of(model).get_text_config(decoder=True)
    windows = [width for width in windows_of(config) if width <= _WIDEST]
    room = positions_of(config) or _WIDEST + _LONG
    longest = max(_SHARED + 2, min(max([_LONG, *(width + _SHARED for width in windows)]), room - _MORE - 1))
    shortest = max(_SHARED + 1, min(longest - 1, _SHORT + longest - _LONG))
    ids = [3 + (31 * i * i + 17 * i) % max(1, config.vocab_size // 2 - 3) for i in range(2 * longest + 2 * _MORE)]
    beginning, first, rest = ids[:_SHARED], ids[_SHARED:longest], ids[longest:]
    prompts = [(*beginning, *first), (*beginning, *rest[: shortest - _SHARED])]
    more = rest[-2 * _MORE :]
    return prompts, [tuple(more[:_MORE]), tuple(more[_MORE:])]


def windows_of(config: Any) -> list[int]:
    """Return the widths, in tokens, of whatever window a configuration gives its attention."""
    named = vars(config).items()
    return [
        width
        for name, width in named
        if re.search(r"(^|_)(window|window_size|chunk_size)$", name) and type(width) is int and width > 0
    ]


def positions_of(config: Any) -> int | None:
    """Return how many positions a configuration speaks of, None where it speaks of none."""
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "context_length")
    return next((value for name in names if isinstance(value := getattr(config, name, None), int)), None)


def _by_cache(model: nn.Module, prompts: Sequence[tuple[int, ...]], more: Sequence[tuple[int, ...]]) -> Tensor:
    """Return the logits (2, 1 + more, vocabulary) as they come from a cache: at once, and token by token.

    The longer row leaves before the others' last token, as a row does that has ended.
    """
    prefix = read(model, prompts, _PAD)
    steps = torch.tensor(more, device=prefix.mask.device)
    mask = torch.cat([prefix.mask, torch.ones_like(steps)], dim=1)
    places = prefix.lengths[:, None] + torch.arange(_MORE, device=steps.device)
    at_once = model(
        input_ids=steps,
        attention_mask=mask,
        position_ids=places,
        past_key_values=branch(prefix.cache, torch.arange(len(steps), device=steps.device)),
        use_cache=True,
    ).logits
    said, cache, rows = [prefix.logits], prefix.cache, torch.arange(len(steps), device=steps.device)
    for step in range(_MORE):
        if step == _MORE - 1:
            rows = rows[1:]
            cache.batch_select_indices(rows)
        output = model(
            input_ids=steps[rows, step : step + 1],
            attention_mask=mask[rows, : prefix.mask.shape[1] + step + 1],
            position_ids=places[rows, step : step + 1],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        said.append(output if len(rows) == len(steps) else torch.cat([at_once[:1, step], output]))
    by_token = torch.stack(said, dim=1)
    together = torch.cat([prefix.logits[:, None], at_once], dim=1)
    return torch.cat([by_token, together], dim=1)


def _after_opening(model: nn.Module, prompts: Sequence[tuple[int, ...]], more: Sequence[tuple[int, ...]]) -> Tensor:
    """Return the logits (2, 1, vocabulary) of the token after each prompt, what they begin with read once."""
    opening = Opening.of(model, prompts[0][:_SHARED])
    return read(model, prompts, _PAD, opening).logits[:, None]


def _by_joining(model: nn.Module, prompts: Sequence[tuple[int, ...]], more: Sequence[tuple[int, ...]]) -> Tensor:
    """Return the logits (2, more, vocabulary) after each further token; the longer row comes beside the shorter one.

    That has its first token by then, and leaves before the other's last.
    """
    long, short = (Rows.read(model, prompts, [number], _PAD, NO_OPENING) for number in (0, 1))

    def step(*tokens: int) -> Tensor:
        short.tokens = torch.tensor(tokens, device=short.mask.device)
        return short.step(model)

    first = step(more[1][0])
    short.join(long)
    both = [step(more[1][n + 1], more[0][n]) for n in range(_MORE - 1)]
    short.keep([1])
    last = step(more[0][-1])
    shorts, longs = zip(*both, strict=True)
    return torch.stack([torch.stack([*longs, last[0]]), torch.stack([first[0], *shorts])])


def _agrees(say: Callable[[], Tensor], truth: Tensor, allowed: float) -> bool:
    """Return whether what is said is the truth within ``allowed``, and whether it can be said at all."""
    try:
        said = say().float()
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError, NotImplementedError):
        return False  # a cache of another kind lacks what is asked of it here
    length = truth.shape[1]
    turns = said.split(length, dim=1)
    return all(_apart(turn, truth[:, : turn.shape[1]]) <= allowed for turn in turns)


def _apart(said: Tensor, truth: Tensor) -> float:
    """Return the root mean square of a difference, of the worst position."""
    return (said - truth).square().mean(dim=-1).sqrt().max().item()


def _rounding_of(said: Tensor) -> float:
    """Return by how much a rounding moves a number at most, in its own size, where all fit 16 bits; else 0.

    They were computed in 16 bits then, whatever holds them now; and where a processor has no arithmetic of its own for
    these, a batch may round otherwise than a row alone although a longer row does not.
    """
    formats = (torch.bfloat16, torch.float16)
    return next((torch.finfo(dtype).eps / 2 for dtype in formats if torch.equal(said.to(dtype).float(), said)), 0.0)
