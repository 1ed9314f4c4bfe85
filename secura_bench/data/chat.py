"""Rows to token ids through the tokenizer's chat template, the same for training, scoring and generation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

from secura_bench.data.example import Example
from secura_bench.data.turns.conversation import SYSTEM, Turn, bare, conversation, plain
from secura_bench.data.turns.differences import BARE, differences
from secura_bench.data.turns.spelling import Piece, Shield, Spelling
from secura_bench.data.turns.template import ChatTemplate, TemplateError
from secura_bench.foundation.errors import DataError
from secura_bench.tasks.row import Row

__all__ = ["SYSTEM", "ChatFormat"]

_ANSWER = "secura-bench-answer-goes-here"  # stands for the answer when a template is rendered
_PROBE = Row("probe", "secura-bench-asks", "answer")


class ChatFormat:
    """Renders rows for one tokenizer.

    The template is rendered with a placeholder for the answer: the text before it is the prompt (so a template's
    own opening of an answer belongs to the prompt), the text after it ends the turn. Prompt and answer are tokenised
    apart, as they are when a model generates. The template writes a beginning-of-sequence token where the model
    wants one; the tokenizer never adds a second. A template that refuses or drops the system message gets it at the
    head of the first user turn. A template that renders the date gets ``TODAY``, whatever the day: a run of tomorrow
    is the run of today. A tokenizer without a template gets plain text, "SYSTEM, blank line, prompt, newline, answer,
    end of sequence"; what a row's history has stands between, "prompt, newline, answer, blank line" a time. Special
    tokens that a row's text spells are text (``Spelling``).

    ``system`` is the system message, the public code's where it is None, and "" for none (then a template may write
    one of its own); a row's own system message goes before it. ``model`` names the model in errors. ``bare`` prompts
    are the row's text alone, whatever template there is, and the answer stands straight behind them.

    Raises:
        DataError: The template cannot be rendered, or the tokenizer has no end-of-sequence token.
    """

    def __init__(
        self, tokenizer: Any, system: str | None = None, model: str | None = None, *, bare: bool = False
    ) -> None:
        self.tokenizer = tokenizer
        self.bare = bare
        self.system = "" if bare else SYSTEM if system is None else system
        self.model = model or PurePath(str(tokenizer.name_or_path or "")).name or "the model"
        self._template = None if bare else ChatTemplate.of(tokenizer, self.model)
        self.template: str | None = self._template.text if self._template else None
        self.system_in_user_turn = self._template is not None and not self._takes_system()
        if tokenizer.eos_token_id is None:
            raise DataError("the tokenizer has no end-of-sequence token; set its eos_token.")
        self.spelling = Spelling(tokenizer)
        try:
            before, tail = self._render(_PROBE)
        except TemplateError as error:
            raise DataError(
                f"model {self.model!r}: its chat template cannot be used: {error}. Mend it in the model's tokenizer "
                f"files, or take it out there: prompts are then plain text."
            ) from None
        if _PROBE.prompt not in "".join(text for text, _ in before):
            raise DataError(f"model {self.model!r}: its chat template does not write the user's message.")
        self.end_of_turn: tuple[int, ...] = self._end_of_turn(tail)
        self.stop_ids: frozenset[int] = frozenset({self.end_of_turn[-1], tokenizer.eos_token_id})
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self._carries, around = self._around_turns()
        self.spelling = Spelling(tokenizer, around + tail)

    def example(self, task: str, row: Row, context: int) -> Example | None:
        """Return ``row`` as token ids within ``context`` tokens, or None where its prompt leaves no room to answer.

        A longer answer is cut, and then has no end of turn.

        Raises:
            DataError: The template refuses the row's turns, or they are none.
        """
        try:
            prompt_ids = self._prompt_ids(row)
        except TemplateError as error:
            roles = ", ".join(role for role, _ in row.history) + ", " if row.history else ""
            raise DataError(
                f"task {task!r}, row {row.id!r}: the chat template of model {self.model!r} refuses its turns "
                f"({roles}user, assistant): {error}."
            ) from None
        except DataError as error:
            raise DataError(f"task {task!r}, row {row.id!r}: {error}") from None
        answer_ids = (*self.answer_ids(row.target), *self.end_of_turn)[: max(0, context - len(prompt_ids))]
        return Example(task, row, prompt_ids, answer_ids) if answer_ids else None

    def text_example(self, task: str, row: Row) -> Example:
        """Return plain text as token ids, uncut and without an end of turn, after the tokenizer's own beginning."""
        prompt_ids = (self.tokenizer.bos_token_id,) if self._adds_bos() else ()
        return Example(task, row, prompt_ids, self.answer_ids(row.target))

    def is_cut(self, example: Example) -> bool:
        """Return whether the context took the end of an example's answer."""
        return example.answer_ids[-len(self.end_of_turn) :] != self.end_of_turn

    def prompt_text(self, row: Row) -> str:
        """Return the text that ``row``'s prompt ids spell, up to where the assistant begins to speak."""
        return "".join(text for text, _ in self._render(row)[0])

    def answer_ids(self, text: str) -> tuple[int, ...]:
        """Return ``text`` as the ids of an answer, without an end of turn."""
        return tuple(self.spelling.ids_of_text(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids`` without special tokens, exactly as the tokenizer spells it."""
        return self.spelling.decode(ids)

    def read_back(self, row: Row) -> Row:
        """Return ``row`` with its answer and choices as they come back from their tokens: what a model can write.

        A row that loses nothing is returned as it is.
        """
        target = self.spelling.read_back(row.target)
        choices = row.choices and tuple(map(self.spelling.read_back, row.choices))
        return row if (target, choices) == (row.target, row.choices) else replace(row, target=target, choices=choices)

    @cached_property
    def differences(self) -> tuple[str, ...]:
        """How prompts differ from what ``apply_chat_template`` gives for generation, a sentence each."""
        return (BARE,) if self.bare else differences(self._template, self.system, self.system_in_user_turn, _ANSWER)

    @property
    def template_hash(self) -> str:
        """SHA-256 of all that the rendering depends on, and of the ids that it gives a small probe."""
        probe = Row("probe", " Which\n\nis  right? ", " this\n one ")
        _, tail = self._render(probe)
        rendered = [*map(self.spelling.ids, (self.prompt_text(probe), probe.target, tail)), self._adds_bos()]
        without = "bare" if self.bare else "plain"
        parts = (self.template or without, self.system, self.system_in_user_turn, self.end_of_turn, rendered)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _prompt_ids(self, row: Row) -> tuple[int, ...]:
        before, _ = self._render(row)
        ids = self.spelling.ids_of_pieces(before)
        begin = [self.tokenizer.bos_token_id] if self._template is None and self._adds_bos() else []
        return (*begin, *ids)

    def _adds_bos(self) -> bool:
        bos = self.tokenizer.bos_token_id
        return bos is not None and self.tokenizer("")["input_ids"][:1] == [bos]

    def _takes_system(self) -> bool:
        try:
            return SYSTEM in self._apply([("system", SYSTEM), ("user", "probe"), ("assistant", _ANSWER)])
        except TemplateError:
            return False

    def _apply(self, turns: Sequence[Turn]) -> str:
        if self._template is None:
            return self._written(turns)
        return self._template.render([{"role": role, "content": text} for role, text in turns])

    def _written(self, turns: Sequence[Turn]) -> str:
        """Return turns as they are written without a template."""
        return bare(turns) if self.bare else plain(turns)

    def _render(self, row: Row) -> tuple[list[Piece], str]:
        """Return the text before the answer in pieces, and the text after it."""
        turns = conversation(row.history, row.prompt, self.system, self.system_in_user_turn)
        if self._template is None:
            return list(self.spelling.pieces(self._written(turns))), ""
        if row.history and not self._carries:
            raise DataError(f"the chat template of model {self.model!r} does not write what was said before a prompt.")
        shield = Shield(self.spelling, (text for _, text in turns))
        hidden = [(role, shield.hide(text)) for role, text in turns]
        before, found, after = self._apply([*hidden, ("assistant", _ANSWER)]).rpartition(_ANSWER)
        if not found:
            raise DataError(
                f"model {self.model!r}: its chat template does not write the assistant's message; it cannot be used."
            )
        return list(shield.pieces(before)), after

    def _around_turns(self) -> tuple[bool, str]:
        """Return whether the template writes earlier turns, and what it writes around them."""
        texts = ("secura-bench-asked", "secura-bench-told", "secura-bench-went-on")
        history = (("user", texts[0]), ("assistant", texts[1]))
        turns = conversation(history, texts[2], self.system, self.system_in_user_turn)
        try:
            text = self._apply(turns)
        except TemplateError:  # a template for one turn alone: a row with more is refused with its words
            return True, ""
        carries = all(said in text for said in texts)
        for _, said in sorted(turns, key=lambda turn: -len(turn[1])):
            text = text.replace(said, "\0")
        return carries, text

    def _end_of_turn(self, tail: str) -> tuple[int, ...]:
        """Return the ids that end a turn: the template's tail up to its first special token."""
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        ids = self.spelling.ids(tail)
        for position, token in enumerate(ids):
            if token in special:
                return tuple(ids[: position + 1])
        return (self.tokenizer.eos_token_id,)
