"""Conversations: which turns become rows, and which lists of turns are refused."""

from __future__ import annotations

from typing import Any

import pytest

from secura_bench.tasks.conversation import Tally, read_conversation


def chat(*turns: str, **extra: Any) -> list[dict[str, Any]]:
    """Return turns from "u hello", "a hello" and "s hello"."""
    roles = {"u": "user", "a": "assistant", "s": "system"}
    return [{"role": roles[turn[0]], "content": turn[2:], **extra} for turn in turns]


S, U1, A1 = ("system", "S"), ("user", "1"), ("assistant", "2")
LONG = chat("u 1", "a 2", "u 3", "a 4")


@pytest.mark.parametrize(
    ("given", "turns", "wanted", "tail"),
    [
        (LONG, "every", [(1, "1", "2", ()), (2, "3", "4", (U1, A1))], False),
        (LONG, "last", [(2, "3", "4", (U1, A1))], False),
        (chat("s S") + LONG, "every", [(1, "1", "2", (S,)), (2, "3", "4", (S, U1, A1))], False),
        (chat("s  ") + LONG, "last", [(2, "3", "4", (U1, A1))], False),
        ([*LONG, *chat("u 5")], "every", [(1, "1", "2", ()), (2, "3", "4", (U1, A1))], True),
        ([*LONG, *chat("u 5")], "last", [(2, "3", "4", (U1, A1))], True),
        ([*LONG[:1], *chat("a 2", weight=0), *LONG[2:]], "every", [(2, "3", "4", (U1, A1))], False),
        ([{"from": "human", "value": "1"}, {"from": "gpt", "value": "2"}], "every", [(1, "1", "2", ())], False),
        ([{"role": "USER", "content": 1}, {"role": "model", "content": "2"}], "every", [(1, "1", "2", ())], False),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, *chat("a 2")],
            "every",
            [(1, "ab", "2", ())],
            False,
        ),
    ],
)  # fmt: skip
def test_assistant_turns_are_answers(given: Any, turns: Any, wanted: list[tuple], tail: bool) -> None:
    read = read_conversation(given, turns)
    assert [(each.number, each.prompt, each.target, each.history) for each in read.answers] == wanted
    assert read.tail == tail


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("hello", "a conversation must be a list of turns, not 'hello'"),
        ([], "must be a list of turns"),
        ({"role": "user"}, "must be a list of turns"),
        (["hello"], "turn 1 must be an object with role and content, not a str"),
        ([{"text": "x"}], "turn 1 must have role and content, or from and value; found: text"),
        ([{"role": "user", "value": "x"}], "turn 1 must have role and content, or from and value; found: role, value"),
        ([*LONG[:2], {"role": "tool", "content": "x"}], "turn 3 is of the role 'tool'; read are system, user"),
        ([*LONG[:2], {"role": "function", "content": "x"}], "turn 3 is of the role 'function'"),
        ([{"role": 3, "content": "x"}], "turn 1 is of the role 3"),
        ([{"from": None, "value": "x"}], "turn 1 must have role and content, or from and value; found: from, value"),
        (chat("u 1") + chat("a 2", tool_calls=[{}]), "turn 2 calls a tool"),
        (chat("a 1", "u 2", "a 3"), "turn 1 is an assistant's that answers nobody: a user's must come before it"),
        (chat("s S", "a 1"), "turn 2 is an assistant's that answers nobody"),
        (chat("u 1", "u 2", "a 3"), "turns 1 and 2 are both the user's"),
        (chat("u 1", "a 2", "a 3"), "turns 2 and 3 are both the assistant's"),
        (chat("u 1", "s 2", "a 3"), "turn 2 is the system's, which may only come first"),
        (chat("u 1"), "holds no assistant turn to learn"),
        (chat("u 1") + chat("a 2", weight=0), "holds no assistant turn to learn"),
        (chat("u 1", "a  "), "turn 2, the assistant's, has no text"),
        ([*chat("u 1"), {"role": "assistant", "content": None}], "turn 2, the assistant's, has no text"),
        ([*chat("u 1"), {"role": "assistant", "content": True}], "turn 2 holds true, not text"),
        ([{"role": "user", "content": [{"type": "image"}]}], "turn 1 has a part of the type 'image'; read is text"),
        ([{"role": "user", "content": ["x"]}], "turn 1 has a part of the type 'str'"),
    ],
)  # fmt: skip
def test_turns_out_of_order_are_refused_by_number(given: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        read_conversation(given, "every")
    assert message in str(error.value)


def test_what_is_left_out_of_conversations_is_counted() -> None:
    tally = Tally()
    thinking = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning_content": "hm"}]
    tally.count(read_conversation(thinking, "every"))
    tally.count(read_conversation([*chat("u 1"), *chat("a 2", weight=0), *chat("u 3", "a 4")], "every"))
    said = tally.said("every")
    assert said.startswith("2 conversations, 2 assistant turns, loss on every assistant turn; left out: ")
    assert said.endswith("the loss of 1 assistant turn of weight 0, the reasoning beside 1 assistant turn")
