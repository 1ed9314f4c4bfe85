"""Text to token ids and back. A special token in a row's text is no token but text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

Piece = tuple[str, bool]
"""A stretch of a prompt, and whether it spells a control token that is meant as text."""


class Spelling:
    """One tokenizer's way with text.

    Control tokens are those that end, begin or part turns: every special token, and of the other added ones those
    that the chat template writes around turns. Where a row's text spells one, that stretch is tokenised apart, with
    special tokens off, and halved where a token of control comes out all the same; the text about it as ever. Text
    that spells none is tokenised in one piece. Other added tokens (``<think>``, where no turn is made with it) stay
    tokens, as they are when a model writes them; they are read back as the text they spell.

    Attributes:
        controls: the control tokens as text.
    """

    def __init__(self, tokenizer: Any, template_text: str = "") -> None:
        """Take the control tokens from ``tokenizer``; ``template_text`` is what the template writes around turns."""
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.values()
        self.controls = frozenset(
            [token for token in tokenizer.all_special_tokens if token]
            + [token.content for token in added if token.special and token.content]
            + [
                token.content
                for token in added
                if token.content in template_text and not token.content.strip().isalnum() and token.content.strip()
            ]
        )
        self._first = re.compile(f"[{re.escape(''.join({token[0] for token in self.controls}))}]")
        self._lengths = sorted({len(token) for token in self.controls}, reverse=True)
        self._control_ids = frozenset(map(tokenizer.convert_tokens_to_ids, self.controls))
        self._prefixes = self._adds_a_prefix()

    def controls_in(self, text: str) -> tuple[str, ...]:
        """Return the control tokens that ``text`` spells, each once."""
        return tuple(dict.fromkeys(piece for piece, as_text in self.pieces(text) if as_text))

    def pieces(self, text: str) -> Iterator[Piece]:
        """Yield a row's text in pieces, the control tokens that it spells apart."""
        end = 0
        for match in self._first.finditer(text):  # no alternation of all tokens: there may be thousands
            start = match.start()
            token = next((t for n in self._lengths if (t := text[start : start + n]) in self.controls), None)
            if token is not None and start >= end:
                yield text[end:start], False
                yield token, True
                end = start + len(token)
        yield text[end:], False

    def ids(self, text: str) -> list[int]:
        """Return the ids of a template's text, whose control tokens are tokens."""
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def ids_of_text(self, text: str) -> list[int]:
        """Return the ids of a row's text."""
        return self.ids_of_pieces(self.pieces(text))

    def ids_of_pieces(self, pieces: Iterable[Piece]) -> list[int]:
        """Return the ids of pieces that stand one behind the other."""
        found: list[int] = []
        begun = False
        for text, as_text in pieces:
            if text:
                found += self._apart(text, begun, text) if as_text else self._placed(self.ids, text, begun)
                begun = True
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids`` without special tokens, exactly as the tokenizer spells it."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def read_back(self, text: str) -> str:
        """Return ``text`` as it comes back from its ids: the same, but where the tokenizer loses some of it."""
        return self.decode(self.ids_of_text(text))

    def _apart(self, text: str, begun: bool, token: str) -> list[int]:
        """Return the ids of ``text``, of the control token ``token`` or a part of it, none of them of control.

        Where a vocabulary has no other spelling of a single character, that is what stays.
        """
        found = self._placed(self._ids_as_text, text, begun)
        unknown = self.tokenizer.unk_token  # what a tokenizer gives for characters that it does not know, too
        controls = self._control_ids - {self.tokenizer.unk_token_id if token != unknown else None}
        if len(text) == 1 or not controls.intersection(found):
            return found
        half = len(text) // 2
        return self._apart(text[:half], begun, token) + self._apart(text[half:], True, token)

    def _ids_as_text(self, text: str) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, verbose=False, split_special_tokens=True)
        return encoded["input_ids"]

    def _placed(self, encode: Callable[[str], list[int]], text: str, begun: bool) -> list[int]:
        """Return the ids of ``text``, without the blank that SentencePiece puts before what begins."""
        if begun and self._prefixes:
            line_end, found = encode("\n"), encode("\n" + text)
            if found[: len(line_end)] == line_end:
                return found[len(line_end) :]
        return encode(text)

    def _adds_a_prefix(self) -> bool:
        line_end, found = self.ids("\n"), self.ids("\nx")
        return found[: len(line_end)] == line_end and found[len(line_end) :] != self.ids("x")


class Shield:
    """Hides the control tokens of texts behind marks while a template renders them.

    A mark is a number between two characters for private use (plane 15) that none of the texts holds.
    """

    def __init__(self, spelling: Spelling, texts: Iterable[str]) -> None:
        self._spelling = spelling
        self._hidden: list[str] = []
        used = set("".join(texts))
        self._open, self._close = islice((c for c in map(chr, range(0xF0000, 0xFFFFE)) if c not in used), 2)

    def hide(self, text: str) -> str:
        """Return ``text`` with a mark in the place of every control token."""
        return "".join(self._mark(part) if hidden else part for part, hidden in self._spelling.pieces(text))

    def pieces(self, rendered: str) -> Iterator[Piece]:
        """Yield a rendered text in pieces, what was hidden back in its place."""
        parts = re.split(f"{self._open}(\\d+){self._close}", rendered)
        for place, part in enumerate(parts):
            yield (self._hidden[int(part)], True) if place % 2 else (part, False)

    def _mark(self, token: str) -> str:
        self._hidden.append(token)
        return f"{self._open}{len(self._hidden) - 1}{self._close}"
