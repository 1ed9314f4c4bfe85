"""A row to be classified, as token ids: plain text, or a pair of texts as the tokenizer sets a pair."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from secura_bench.data.example import Example
from secura_bench.data.turns.spelling import Spelling
from secura_bench.tasks.row import Row


@dataclass(frozen=True)
class Around:
    """The special tokens that a tokenizer writes before, between and behind the texts of a row."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    behind: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any, texts: int) -> Around:
        """Find them by a probe of one or two ``texts``; a tokenizer that writes none gives none."""
        encoded = tokenizer(*["a", "b"][:texts], return_special_tokens_mask=True, verbose=False)
        ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
        start = sum(takewhile(bool, special))
        end = len(ids) - sum(takewhile(bool, reversed(special)))
        inside = [token for token, marked in zip(ids[start:end], special[start:end], strict=True) if marked]
        return cls(tuple(ids[:start]), tuple(inside), tuple(ids[end:]))

    def room(self, context: int) -> int:
        """Return how many of ``context`` tokens are left for the texts."""
        return context - len(self.before) - len(self.between) - len(self.behind)


def classified_example(task: str, row: Row, spelling: Spelling, context: int) -> Example | None:
    """Return a row as the ids of its text or pair, cut to ``context`` tokens, its label's number being the answer.

    None where nothing of it fits. Special tokens that a text spells are text.
    """
    around = Around.of(spelling.tokenizer, 1 if row.pair is None else 2)
    first = spelling.ids_of_text(row.prompt)
    second = [] if row.pair is None else spelling.ids_of_text(row.pair)
    room = around.room(context)
    if room < 1:
        return None
    of_first, of_second = shares(len(first), len(second), room)
    ids = (*around.before, *first[:of_first], *around.between, *second[:of_second], *around.behind)
    return Example(task, row, ids, (row.answer_index or 0,), head=task)


def shares(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of two texts stay within ``room``: the longer one is cut first.

    That is ``longest_first`` of the tokenizers library: of two that are both too long each keeps half, and an odd
    token falls to the longer one, of equals to the second.
    """
    if first + second <= room:
        return first, second
    short, long = sorted((first, second))
    if short > room // 2:
        short = room // 2
    long = room - short
    return (long, short) if first > second else (short, long)


def is_cut(example: Example, spelling: Spelling, context: int) -> bool:
    """Return whether ``context`` took the end of an example's text."""
    if len(example) < context:
        return False
    whole = classified_example(example.task, example.row, spelling, sys.maxsize)
    return whole is not None and len(whole) > len(example)
