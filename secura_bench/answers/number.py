"""The one number that an answer gives, and the one that a reference holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from secura_bench.answers.latex import plain_text
from secura_bench.answers.numerals import Numeral, find_numerals
from secura_bench.answers.said import Mark, as_last_said, denied, denies, marks, own_part, sentence

_HASHES = "####"
_UNIT = r"(?:[ \t]*[A-Za-z]{1,15})?"
_OPERATOR = re.compile(rf"{_UNIT}[ \t%)\]$]*[*×xX/÷+\-−–^=≈]+[ \t$(\[]*")
_JOINED = re.compile(
    rf"(?:{_UNIT}[ \t%$)*_]*(?:,?\s*\b(?:or|to|and|or\s+even|through|until|plus|versus|vs)\b|[,&~/±–—-])|[ \t]*:)"
    r"\s*(?:(?:maybe|possibly|perhaps|even|about|the|negative)\s+)*[$€£(*_]*",
    re.IGNORECASE,
)
_NOT = re.compile(rf"{_UNIT}[\s,;(–—-]*(?:(?:and|but)\s+)?(?:not|instead\s+of|rather\s+than)\s+[$€£]?", re.IGNORECASE)
_MEASURE = re.compile(
    r"[ \t]*(?!(?:of|in|for|per|with|at|by|from|on|out|after|if|when|as|is|are|was)\b)[A-Za-z]+\s+", re.I
)
_DIRECT = re.compile(
    r"[\s*_`\"'“(\[{$€£¥:=≈~]*(?:(?:[A-Za-z]\w?\s*[=≈]|that|it|this|is|was|are|be|would|will|equal|equals|to|just|only|exactly|"
    r"simply|about|approximately|approx\.?|around|roughly|nearly|almost|likely|probably|definitely|therefore|thus|so|now|"
    r"then|the|number|total|sum|a|of|in|which|there|he|she|they|has|have|had|answer|option|us|rs\.?|usd|eur)"
    r"\b[\s,:=*$(≈]*)*",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^[#* \t>-]*(\d+)[.):](?=\s+\S)", re.MULTILINE)
_COUNTED = re.compile(
    r"\b(?:step|question|problem|example|equation|figure|table|part|day|no\.?|chapter)\s*#?$", re.IGNORECASE
)
_RATE = re.compile(r"\b(?:per|every|each|after(?:\s+(?:the\s+)?(?:first|next|last))?)\s+$", re.IGNORECASE)
_EXPLAINED = re.compile(
    r"[*_`$.\s%]*(?:[A-Za-z]+\.?)?[*_]*\s*(?:\n\s*\n|[,.(\n]?\s*\(?\s*(?:because|since|as|for|explanation|reason(?:ing)?|"
    r"working|calculation|solution|steps?|note|here)\b|\()",
    re.IGNORECASE,
)
_FOLLOWS = re.compile(r"\b(?:follow\w*|below|found|obtained|calculated|computed|determined|given)\b", re.IGNORECASE)
_SILENT = ""  # of a mark that no number follows
_BETWEEN = re.compile(r"\bbetween\b[^.]{0,20}$", re.IGNORECASE)
_INEQUALITY = re.compile(
    r"(?:[<>≤≥]|\b(?:more|less|fewer|greater|higher|lower|other)\s+than|\b(?:over|under))\s*[$]?$", re.I
)


def answer_number(text: str) -> str | None:
    r"""Return the number that ``text`` gives as its answer, as a plain decimal or a reduced fraction; None if none.

    It is the first number after the last ``####``; else that which follows "the answer is", or stands in ``\boxed``;
    else one that the text begins with and then explains; else the last one of all. Of an equation it is the last side
    that is one number. Two numbers where one should be ("5 or 6", "5-6", "$10 and 5 cents"), one that is denied, and
    what is no number (a date, a time, ``2π``) are None.
    """
    return as_last_said(plain_text(own_part(text)), _read, _is_direct)


def only_number(text: str) -> str | None:
    r"""Return the number of a reference: the one after ``####`` where it has one, in ``\boxed``, or of all; else None.

    Units beside it are passed over; a second number is not.
    """
    _, marked, after = text.rpartition(_HASHES)
    if marked:
        text = after
    elif said := [mark for mark in marks(text) if mark.closed]:
        text = said[-1].said
    elif found := marks(text):
        text = sentence(found[-1].said)
    text = plain_text(text).strip()
    numerals = find_numerals(text)
    if len(numerals) != 1 or denied(text, numerals[0].start, numerals[0].end):
        return None
    value = numerals[0].value
    return (
        value if value is not None and re.fullmatch(r"-?\d+(?:[./]\d+)?", value) and not value.endswith("/0") else None
    )


def _read(text: str) -> str | None:
    _, marked, after = text.rpartition(_HASHES)
    if marked:
        numerals = find_numerals(after)
        return _one(after, numerals, 0) if numerals else None
    found = marks(text)
    refused: set[str | None] = set()
    for mark in reversed(found):
        if (said := _marked(mark)) is not _SILENT:
            return None if said in refused else said
        refused |= {numeral.value for numeral in find_numerals(sentence(mark.said))}
    if not found or not re.search(r"\w", opening := sentence(found[-1].said)):
        return _unmarked(text)
    rest = found[-1].said.partition(opening)[2]
    if all(denied(opening, n.start, n.end) for n in find_numerals(opening)) and denies(opening):
        return _unmarked(rest)
    return _unmarked(found[-1].said) if _FOLLOWS.search(opening) else None


def _marked(mark: Mark) -> str | None:
    """Return the number that a mark announces: None where it cannot be told, ``_SILENT`` where there is none."""
    text = plain_text(mark.said)
    numerals = find_numerals(text)
    if mark.closed:
        return _one(text, numerals, 0) if numerals else None
    if numerals and _directly_at(text, numerals[0].start):
        return _one(text, numerals, 0)
    said = sentence(text)
    return _unmarked(said) if any(not denied(said, n.start, n.end) for n in find_numerals(said)) else _SILENT


def _is_direct(text: str) -> bool:
    numerals = find_numerals(text)
    return bool(numerals) and _directly_at(text, numerals[0].start)


def _directly_at(text: str, start: int) -> bool:
    opening = _DIRECT.match(text)
    return opening is not None and opening.end() >= start


def _unmarked(text: str) -> str | None:
    """Return the number of a text that does not say which is its answer."""
    numerals = [n for n in _without_labels(text) if not _COUNTED.search(text[max(0, n.start - 12) : n.start])]
    if not numerals:
        return None
    first = numerals[0]
    begins = not re.search(r"\w", text[: first.start]) and _EXPLAINED.match(text, first.end)
    if begins and not any(_OPERATOR.fullmatch(text, first.end, n.start) for n in numerals[1:2]):
        return _one(text, numerals[:1], 0)
    counted = [n for n in numerals if not _RATE.search(text[max(0, n.start - 24) : n.start])]
    numerals = counted or numerals
    while len(numerals) > 1 and _between(_NOT, text, numerals[-2], numerals[-1]):
        numerals = numerals[:-1]
    return _one(text, numerals, len(numerals) - 1)


def _without_labels(text: str) -> list[Numeral]:
    """Return the numbers of ``text`` but those that number its lines (1., 2., …)."""
    labels = {match.start(1) for match in _LABEL.finditer(text)}
    numerals = find_numerals(text)
    return [n for n in numerals if n.start not in labels] if len(labels) > 1 else numerals


def _one(text: str, numerals: Sequence[Numeral], i: int) -> str | None:
    """Return the value of one number of ``text``, or of the equation that it stands in; None where it is not one."""
    first, last = _equation(text, numerals, i)
    alone = [side[0] for side in _sides(text, numerals[first : last + 1]) if len(side) == 1]
    if not alone:
        return None
    told, before = alone[-1], text[max(0, numerals[first].start - 30) : numerals[first].start]
    if denied(text, told.start, told.end) or _BETWEEN.search(before) or _INEQUALITY.search(before):
        return None
    behind = numerals[last + 1 : last + 2] if told is numerals[last] else []
    if any(
        _others(told, n) and (_between(_JOINED, text, told, n) or _between(_MEASURE, text, told, n)) for n in behind
    ):
        return None
    ahead = numerals[first - 1 : first] if first == last else []
    return None if any(_others(told, n) and _alternatives(text, n, told) for n in ahead) else told.value


def _equation(text: str, numerals: Sequence[Numeral], i: int) -> tuple[int, int]:
    """Return the first and the last of the numbers that operators join to one."""
    first, last = i, i
    while first and _between(_OPERATOR, text, numerals[first - 1], numerals[first]):
        first -= 1
    while last + 1 < len(numerals) and _between(_OPERATOR, text, numerals[last], numerals[last + 1]):
        last += 1
    return first, last


def _sides(text: str, numerals: Sequence[Numeral]) -> list[list[Numeral]]:
    """Return the numbers of an equation, a list a side."""
    sides = [[numerals[0]]]
    for before, number in pairwise(numerals):
        if re.search("[=≈]", text[before.end : number.start]):
            sides.append([])
        sides[-1].append(number)
    return sides


def _others(one: Numeral, other: Numeral) -> bool:
    """Return whether two numbers may differ: the same one twice leaves nothing open."""
    return one.value is None or one.value != other.value


def _alternatives(text: str, one: Numeral, other: Numeral) -> bool:
    """Return whether two numbers stand for one another ("5 or 6", "5 to 6"); a list may end with its answer."""
    between = text[one.end : other.start]
    return (
        _JOINED.fullmatch(between) is not None
        and re.search(r"\b(?:or|to|and|through|until)\b|[~:/–—-]", between) is not None
    )


def _between(pattern: re.Pattern[str], text: str, one: Numeral, other: Numeral) -> bool:
    return pattern.fullmatch(text, one.end, other.start) is not None
