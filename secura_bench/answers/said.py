"""Which part of what a model wrote is its answer: after its thinking, before the next question, as it last said."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from secura_bench.answers.latex import boxed

Reading = TypeVar("Reading")

_LAST = 8  # places that are looked at: no text may take long, whatever stands in it
_LONGEST = 1000  # characters of what stands there

_THINKING = re.compile(r"<(think|thinking|thought|reasoning)>.*?</\1>", re.IGNORECASE | re.DOTALL)
_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_THINKS = re.compile(r"<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_NEXT = re.compile(
    r"^[#*_ \t>]*(?:(?:Next |New |Another )?(?:Question|Problem|Exercise)\s*\d*|Q\s*\d*|User|Human|Instruction)"
    r"[*_]*\s*:"
    r"|<\|?(?:im_start|im_end|endoftext|eot_id|end_of_text)\|?>|</s>",
    re.MULTILINE,
)
_NAMED = r"\b(?:answers?|ans|(?:correct|right|best|final|my)\s+(?:option|choice|one|pick|letter|response))\b"
_ANSWER = re.compile(
    rf"{_NAMED}\.?[*_`\"')]*"
    r"(?:\s+(?:to|for|of)\s+(?:(?:the|this|your|that|question|problem|it|above|given|math|\d+)\s*)+)?"
    r"(?:\s+(?:(?:would|will|should|must|could|might|may|can|has|have|to|therefore|thus|then|indeed|here)\s+)*"
    r"(?:is|was|be|are|equals?|comes\s+to)\b(?![’'])(?:\s+(?:therefore|thus|then|simply|indeed|clearly))?"
    r"|\s*[:：=→⇒]|\s+[–—-]+>?(?=\s)|['’]s\b)[*_`\s]*[:=]?[*_]*|\bfinal\s+answer\b[*_]*\s*\n"
    r"|答案\s*(?:应该|應該)?(?:[是为為]|[选選]|(?=[:：]))\s*[:：]?[*_]*",
    re.IGNORECASE,
)
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.IGNORECASE | re.DOTALL)
_TAKEN_BACK = re.compile(
    r"(?:^|[.!?;:,…—–\n(-])\s{0,3}(?:wait|hold on|sorry|oops|hmm)\b(?=\s*[,.!?:;…—–-]|\s+(?:no|actually|that|let|i)\b)"
    r"|\b(?:scratch|strike)\s+that\b|\bcorrection\s*[:—–-]|\bon\s+second\s+thoughts?\b|\bmy\s+mistake\b"
    r"|\bi\s+(?:made\s+a\s+mistake|was\s+wrong|am\s+wrong|take\s+(?:that|it)\s+back)\b"
    r"|\blet\s+me\s+(?:correct|recheck|re-check|reconsider|rethink|redo|recalculate|recount)\b",
    re.IGNORECASE,
)
_RATHER = re.compile(
    r"(?<![^\s.,;:!?—–(-])(no|nope|actually|i\s+mean|rather)\b(?!\s+than)\s*[,.:;!—–-]*\s*", re.IGNORECASE
)
_CLAUSE = re.compile(r"[.;:!?\n,(]|\b(?:but|because|since|so|though|although|while)\b", re.IGNORECASE)
_CERTAIN = re.compile(r"\b(?:no|without(?:\s+a)?)\s+doubt\b|\bnot\s+only\b", re.IGNORECASE)
_DENIES = re.compile(
    r"\b(?:not|never|neither|nor|cannot|without|except|excluding|(?:instead|rather|other)\s+(?:of|than)|doubt|unlikely"
    r"|rul(?:e|es|ed|ing)\s+out|eliminat\w+|exclud\w+|reject\w*|discard\w*|incorrect|wrong|false|untrue)\b|n['’]t\b|\bno\s+[*_\"'(]*$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"[\s)*\]\"'”’]{0,9}(?:(?:is|are|was|were|be|been|would|could|can|should|must|might|may|will|does|do|has|seems?|looks?"
    r"|to|also|clearly|definitely|certainly|probably|obviously|both|all|(?-i:an?)|the|in)\s*){0,6}"
    r"(?:not\b|never\b|cannot\b|n['’]t\b|\w+n['’]t\b|(?:wrong|incorrect|false|untrue|unlikely|impossible|eliminated"
    r"|excluded)\b|ruled\s+out\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Mark:
    """A place where a text says that its answer comes: ``said`` is what follows, to the end or to a closing brace."""

    at: int
    said: str
    closed: bool


def spoken(text: str) -> str:
    """Return ``text`` without its thinking: that between tags, before a lone closing one, after a lone opening one."""
    text = _THINKING.sub(" ", text)
    if closings := list(_THOUGHT.finditer(text)):
        text = text[closings[-1].end() :]
    opening = _THINKS.search(text)
    return text[: opening.start()] if opening else text


def own_part(text: str) -> str:
    """Return ``text`` up to where it goes on with a question of its own; one that it begins with is passed over."""
    starts = [match.start() for match in _NEXT.finditer(text)]
    begins = 0
    if starts and not text[: starts[0]].strip():  # the question is said again before it is answered
        answered = _ANSWER.search(text)
        begins = answered.end() if answered else len(text)
    return next((text[:start] for start in starts if start >= begins and text[:start].strip()), text)


def marks(text: str) -> list[Mark]:
    r"""Return where ``text`` says that its answer comes, in order: "the answer is", ``\boxed{…}``, ``<answer>``."""
    said = list(_ANSWER.finditer(text))[-_LAST:]
    found = [Mark(match.end(), text[match.end() : match.end() + _LONGEST], closed=False) for match in said]
    found += [Mark(end, held, closed=True) for end, held in boxed(text)]
    found += [Mark(match.end(), match[1][-_LONGEST:], closed=True) for match in _TAGGED.finditer(text)]
    return sorted(found, key=lambda mark: mark.at)[-_LAST:]


def sentence(text: str) -> str:
    """Return the first sentence of ``text``, blank lines before it left out; a line's end ends it."""
    text = text.lstrip()
    end = re.search(r"(?<=[^\s(.]{2})[.!?](?=\s+[A-Z\"'(]|\s*$)|\n", text)
    return text[: end.start()] if end else text


def as_last_said(
    text: str, read: Callable[[str], Reading | None], direct: Callable[[str], bool], answers: Collection[str] = ()
) -> Reading | None:
    """Return what ``read`` finds after the answer was last taken back; all of ``text`` where it was not.

    "Wait", "correction" and their like take back whatever was said. "No," and "actually" do where an answer follows
    at once (``direct``), but where they are an answer themselves (one of ``answers``).
    """
    retracted = [match.end() for match in _TAKEN_BACK.finditer(text) if text[: match.start()].strip()]
    if retracted:
        text = text[retracted[-1] :]
    for match in reversed(list(_RATHER.finditer(text))[-_LAST:]):
        follows = retracted or text[: match.start()].strip()
        if match[1].lower() not in answers and follows and direct(text[match.end() :][:_LONGEST]):
            return read(text[match.end() :])
    return read(text)


def denied(text: str, start: int, end: int) -> bool:
    """Return whether what stands at ``start`` to ``end`` is said not to be so: "not B", "B isn't", "rather than B"."""
    before = text[max(0, start - 120) : start]
    boundaries = [match.end() for match in _CLAUSE.finditer(before.rstrip(" \"'*_`(["))]
    return denies(before[boundaries[-1] if boundaries else 0 :]) or denied_after(text, end)


def denies(text: str) -> bool:
    """Return whether there is a word in ``text`` that denies something."""
    return _DENIES.search(_CERTAIN.sub("", text)) is not None


def denied_after(text: str, end: int) -> bool:
    """Return whether what ends at ``end`` is denied by what follows it."""
    return _DENIED_AFTER.match(text, end) is not None
