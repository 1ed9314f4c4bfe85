"""What is said up to an answer, as turns: the system's, what the row carries, and its prompt."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.foundation.errors import DataError

Turn = tuple[str, str]
"""Role and text."""

SYSTEM = "You are a helpful AI assistant."  # the public code's system message
_ROLES = ("user", "assistant")


def conversation(history: Sequence[Turn], prompt: str, system: str, in_user_turn: bool = False) -> list[Turn]:
    """Return the turns up to an answer.

    A ``system`` turn at the head of ``history`` replaces ``system``; an empty one is no turn. ``in_user_turn`` puts
    its text at the head of the first user turn, with a blank line between.

    Raises:
        DataError: A turn of another role, or a system turn that is not at the head.
    """
    if history and history[0][0] == "system":
        system, history = history[0][1], history[1:]
    for role, _ in history:
        if role not in _ROLES:
            where = "behind other turns" if role == "system" else "in its history"
            raise DataError(
                f"has a turn of role {role!r} {where}; read are user and assistant, and system at the head."
            )
    turns = [*history, ("user", prompt)]
    if not system:
        return turns
    if not in_user_turn:
        return [("system", system), *turns]
    first = next(place for place, (role, _) in enumerate(turns) if role == "user")
    turns[first] = ("user", f"{system}\n\n{turns[first][1]}")
    return turns


def plain(turns: Sequence[Turn]) -> str:
    """Return turns as plain text, for a tokenizer without a template.

    The system's text and a blank line, then each user's text and a line end, each assistant's and a blank line.
    """
    return "".join(text + ("\n" if role == "user" else "\n\n") for role, text in turns)


def bare(turns: Sequence[Turn]) -> str:
    """Return turns as their texts alone: a blank line stands behind the system's and an assistant's, and no more."""
    return "".join(text + ("" if role == "user" else "\n\n") for role, text in turns)
