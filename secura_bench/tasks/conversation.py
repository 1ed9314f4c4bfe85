"""Conversations: what their turns must be, and which of them are answers to learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from secura_bench.tasks.values import NotTextError, as_text

Turns = Literal["every", "last"]

_ROLES = {
    "system": "system",
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot"), "assistant"),
}


_THOUGHTS = ("reasoning_content", "reasoning", "thinking")


@dataclass(frozen=True)
class Answer:
    """One assistant turn: the user's turn before it, and all that was said before that, (role, text) a turn.

    ``number`` counts the conversation's assistant turns from 1.
    """

    number: int
    prompt: str
    target: str
    history: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Conversation:
    """The answers of a conversation that are learned.

    ``tail``: it ends with a user's turn, unanswered. ``silent`` assistant turns are marked not to be learned, and
    ``thoughts`` of them hold reasoning beside their text, which is not read.
    """

    answers: tuple[Answer, ...]
    tail: bool
    silent: int = 0
    thoughts: int = 0


@dataclass
class Tally:
    """How many conversations were read, how many of their turns are learned, and what of them is left out."""

    conversations: int = 0
    answers: int = 0
    tails: int = 0
    silent: int = 0
    thoughts: int = 0

    def count(self, conversation: Conversation) -> None:
        """Count one conversation."""
        self.conversations += 1
        self.answers += len(conversation.answers)
        self.tails += conversation.tail
        self.silent += conversation.silent
        self.thoughts += conversation.thoughts

    def said(self, turns: str | None) -> str:
        """Return the counts as a sentence's part; "" where there was no conversation."""
        if not self.conversations:
            return ""
        which = "the last assistant turn of each" if turns == "last" else "every assistant turn"
        said = f"{_many(self.conversations, 'conversation')}, {_many(self.answers, 'assistant turn')}, loss on {which}"
        left_out = [
            f"{_many(self.tails, 'last turn')} of a user" if self.tails else "",
            f"the loss of {_many(self.silent, 'assistant turn')} of weight 0" if self.silent else "",
            f"the reasoning beside {_many(self.thoughts, 'assistant turn')}" if self.thoughts else "",
        ]
        return said + (f"; left out: {', '.join(filter(None, left_out))}" if any(left_out) else "")


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def read_conversation(given: Any, turns: Turns) -> Conversation:
    """Return every answer of a conversation, or its last.

    ``given`` is a list of turns, each ``{role, content}`` or ``{from, value}``: a system turn at the head or none (one
    without a text is none), then user and assistant in turn. A content may be a list of texts. An assistant turn
    of ``weight: 0`` is part of what was said, and not learned. What a user said last, without an answer, is left out.

    Raises:
        ValueError: It is no such list, or nothing in it is to be learned; the message names the turn, from 1.
    """
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence) or not given:
        raise ValueError(f"a conversation must be a list of turns, not {given!r:.60}")
    said: list[tuple[str, str]] = []
    silent: set[int] = set()
    for number, turn in enumerate(given, start=1):
        role, text = _turn(turn, number)
        if role == "system" and number == 1 and not text.strip():
            continue
        if not text.strip():
            raise ValueError(f"turn {number}, the {role}'s, has no text")
        _check_order(role, said, number)
        if role == "assistant" and turn.get("weight") == 0:
            silent.add(len(said))
        said.append((role, text))
    places = [place for place, (role, _) in enumerate(said) if role == "assistant"]
    answers = [
        Answer(number, said[place - 1][1], said[place][1], tuple(said[: place - 1]))
        for number, place in enumerate(places, start=1)
        if place not in silent and (turns == "every" or number == len(places))
    ]
    if not answers:
        raise ValueError("the conversation holds no assistant turn to learn")
    thoughts = sum(any(turn.get(name) for name in _THOUGHTS) for turn in given)
    return Conversation(tuple(answers), said[-1][0] == "user", len(silent), thoughts)


def _turn(turn: Any, number: int) -> tuple[str, str]:
    """Return the role and the text of one turn."""
    if not isinstance(turn, Mapping):
        raise ValueError(f"turn {number} must be an object with role and content, not a {type(turn).__name__}")
    names = next((pair for pair in (("role", "content"), ("from", "value")) if turn.get(pair[0]) is not None), None)
    if names is None or names[1] not in turn:
        raise ValueError(f"turn {number} must have role and content, or from and value; found: {', '.join(turn)}")
    given = turn[names[0]]
    role = _ROLES.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None or turn.get("tool_calls") or turn.get("function_call"):
        what = f"is of the role {given!r}" if role is None else "calls a tool"
        raise ValueError(f"turn {number} {what}; read are system, user (human) and assistant (gpt)")
    try:
        return role, _content(turn[names[1]], number)
    except NotTextError as error:
        raise ValueError(f"turn {number} holds {error}") from None


def _content(content: Any, number: int) -> str:
    if not isinstance(content, list):
        return as_text(content)
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text" or "text" not in part:
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise ValueError(f"turn {number} has a part of the type {kind!r}; read is text")
    return "".join(as_text(part["text"]) for part in content)


def _check_order(role: str, said: Sequence[tuple[str, str]], number: int) -> None:
    """Refuse a turn that cannot follow on those that were ``said``: templates refuse it, or drop it."""
    last = said[-1][0] if said else None
    if role == "system" and last is not None:
        raise ValueError(f"turn {number} is the system's, which may only come first")
    if role == "assistant" and last in (None, "system"):
        raise ValueError(f"turn {number} is an assistant's that answers nobody: a user's must come before it")
    if role == last:
        raise ValueError(f"turns {number - 1} and {number} are both the {role}'s")
