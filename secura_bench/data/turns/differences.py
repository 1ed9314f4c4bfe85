"""Where the bench's prompts differ from what ``apply_chat_template`` gives for generation, a sentence each."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from secura_bench.data.turns.conversation import SYSTEM, conversation
from secura_bench.data.turns.template import TODAY, ChatTemplate, TemplateError

_OTHER_DAY = datetime.datetime(1999, 2, 9, 13, 14, 15)  # has nothing in common with TODAY
_PROMPT, _REPLY, _NEXT = "secura-bench-prompt", "secura-bench-reply", "secura-bench-next-prompt"
_SHOWN = 100  # characters
OTHER_SYSTEM = ("the system turn is", "there is no system turn")
"""How the sentence begins that says of prompts that their system turn is not the bench's."""
BARE = "a prompt is the row's text alone, without a chat template and a system message, and the answer straight behind"
PLAIN = (
    "the tokenizer has no chat template: a prompt is plain text, the system's text and a blank line, the prompt and a "
    "line end"
)


def differences(template: ChatTemplate | None, system: str, in_user_turn: bool, answer: str) -> tuple[str, ...]:
    """Return the sentences, none where a prompt is what anybody gets who asks the tokenizer for it.

    Each is of the template and the settings alone, whatever the day or the row. ``answer`` stands for an answer when
    the template is rendered.
    """
    said = list(_of_the_system(template, system, in_user_turn))
    if template is None:
        return (PLAIN, *said)
    if template.names:
        said.insert(0, f"of the chat templates ({', '.join(template.names)}) the one called default is taken")
    turns = _messages(conversation((), _PROMPT, system, in_user_turn))
    try:
        stock = template.stock(turns, TODAY)
        if stock != template.stock(turns, _OTHER_DAY):
            said.append(f"the stock prompt has the day's date where this has {TODAY:%d %b %Y}")
        ours, _, _ = template.render([*turns, {"role": "assistant", "content": answer}]).rpartition(answer)
        said += _of_the_opening(ours, stock)
    except TemplateError as error:
        said.append(f"the stock template gives no prompt for generation ({error})")
    return (*said, *_of_the_answer(template, turns))


def _of_the_system(template: ChatTemplate | None, system: str, in_user_turn: bool) -> list[str]:
    if system and system != SYSTEM:
        said = [f"{OTHER_SYSTEM[0]} {_short(system)}"]
    else:
        said = [] if system else [OTHER_SYSTEM[1]]
    if system and in_user_turn:
        said.append("the template takes no system turn: its text stands at the head of the first user turn")
    if not system and template is not None and (own := _own_system(template)):
        said.append(f"the template then begins with text of its own: {_short(own)}")
    return said


def _own_system(template: ChatTemplate) -> str:
    """Return what the template writes before a first user turn and not before a second one."""
    turns = [("user", _PROMPT), ("assistant", _REPLY), ("user", _NEXT), ("assistant", _REPLY)]
    try:
        text = template.render(_messages(turns))
    except TemplateError:  # no second turn to compare with
        return ""
    for token in template.tokenizer.all_special_tokens:
        text = text.replace(token, "\0")
    before, _, rest = text.partition(_PROMPT)
    between = rest.partition(_REPLY)[2].partition(_NEXT)[0]
    shared = _alike(before[::-1], between[::-1])
    return before[: len(before) - shared].replace("\0", "").strip()


def _of_the_opening(ours: str, stock: str) -> list[str]:
    if ours == stock:
        return []
    if ours.startswith(stock):
        return [f"the prompt opens the answer with {_short(ours[len(stock) :])}, which the stock prompt does not"]
    if stock.startswith(ours):
        return [f"the stock prompt opens the answer with {_short(stock[len(ours) :])}, which this does not"]
    words, others = _words(ours), _words(stock)
    head = _alike(words, others)
    words, others = words[head:], others[head:]
    tail = _alike(words[::-1], others[::-1])
    mine, theirs = "".join(words[: len(words) - tail]), "".join(others[: len(others) - tail])
    return [f"the stock prompt has {_short(theirs)} where this has {_short(mine)}"]


def _words(text: str) -> list[str]:
    """Return ``text`` in words and what stands between them."""
    return re.split(r"(\W)", text)


def _of_the_answer(template: ChatTemplate, turns: Sequence[dict[str, str]]) -> list[str]:
    """Return what the template does to an assistant's text: here an answer's tokens are the row's own text."""
    said = []
    spelled = f"{_REPLY}<b>&\"'"
    escapes = not _keeps(template, turns, "assistant", spelled)
    for answer, what in (
        (f"  {_REPLY} \n", "trims an assistant's text"),
        (spelled, "spells characters of an assistant's text otherwise (<, &, quotes)"),
        *([] if escapes else [(f"{_PROMPT}</think>{_REPLY}", "drops or moves an assistant's thoughts")]),
    ):
        if not _keeps(template, turns, "assistant", answer):
            said.append(f"the template {what}; here an answer is trained and scored as the row has it")
    if not _keeps(template, turns[:-1], "user", spelled):
        said.append("the template spells characters of a user's text otherwise (<, &, quotes), and so do prompts here")
    return said


def _keeps(template: ChatTemplate, turns: Sequence[dict[str, str]], role: str, text: str) -> bool:
    """Return whether a last turn's text stands in the rendered turns as it is."""
    try:
        return text in template.render([*turns, {"role": role, "content": text}])
    except TemplateError:
        return False


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many of their first elements are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _messages(turns: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in turns]


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")
