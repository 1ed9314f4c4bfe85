"""The one number that an answer gives, and the one that a reference holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from secura_bench.answers.latex import plain_text
from secura_bench.answers.numerals import Numeral, find_numerals
from secura_bench.answers.qualifiers import Beside, beside, is_compound, is_counted, is_named
from secura_bench.answers.said import Mark, as_last_said, denied, denies, marks, own_part, sentence

_HASHES = "####"
_UNIT = r"(?:[ \t]*[A-Za-z]{1,15})?"
_OPERATOR = re.compile(rf"{_UNIT}[ \t%)\]$!]*[*×xX/÷+\-−–^=≈]+[ \t$(\[]*")
_JOINED = re.compile(
    rf"(?:{_UNIT}[ \t%$)*_]*(?:,?\s*\b(?:or|to|and|or\s+even|through|until|plus|versus|vs|out\s+of)\b|[,&~/±–—-]"
    r"|[、，或和到至])|[ \t]*:)"
    r"\s*(?:(?:maybe|possibly|perhaps|even|about|the|negative)\s+)*[$€£(*_]*",
    re.IGNORECASE,
)
_NOT = re.compile(rf"{_UNIT}[\s,;(–—-]*(?:(?:and|but)\s+)?(?:not|instead\s+of|rather\s+than)\s+[$€£]?", re.IGNORECASE)
_MEASURE = re.compile(
    r"[ \t]*(?!(?:of|in|for|per|with|at|by|from|on|out|after|if|when|as|is|are|was|were|because|since|so|given|"
    r"thus|therefore|while|where|which|that|but|than)\b)[A-Za-z]+\s+",
    re.I,
)
_DIRECT = re.compile(
    r"[\s*_`\"'“(\[{$€£¥:=≈~]*(?:(?:[A-Za-z]\w?\s*[=≈]|that|it|this|is|was|are|be|would|will|equal|equals|to|just|only|exactly|"
    r"simply|about|approximately|approx\.?|around|roughly|nearly|almost|likely|probably|definitely|therefore|thus|so|now|"
    r"then|the|number|total|sum|a|of|in|which|there|he|she|they|has|have|had|answer|option|us|rs\.?|usd|eur)"
    r"\b[\s,:=*$(≈]*)*",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^[#* \t>-]*(\d+)[.):](?=\s+\S)", re.MULTILINE)
_IS_THE_ANSWER = re.compile(rf"{_UNIT}[ \t*_)$]*\s+is\s+(?:the|my|our)\s+(?:(?:final|correct|right)\s+)?answer\b", re.I)
_SUPPOSED = re.compile(r"\b(?:if|whether|suppose|assum\w+|say|maybe|perhaps)\b[^.\n]*$", re.IGNORECASE)
_REMARK = re.compile(r"\s*\(([^()\n]{1,200})\)[\s.!*$]*$")
_PAIR = re.compile(r"[ \t%]*,\s*[$€£]?")
_EQUATED = re.compile(r"\b([A-Za-z])\s*=\s*$")
_BOTH = re.compile(r"\s*(?:[,;]|,?\s*\b(?:and|or)\b)\s*[A-Za-z]\s*=\s*")
_EXPLAINED = re.compile(
    r"[*_`$.\s%]*(?:[A-Za-z]+\.?)?[*_]*\s*(?:\n\s*\n|[,.(\n]?\s*\(?\s*(?:because|since|as|for|explanation|reason(?:ing)?|"
    r"working|calculation|solution|steps?|note|here)\b|\()",
    re.IGNORECASE,
)
_FOLLOWS = re.compile(r"\b(?:follow\w*|below|found|obtained|calculated|computed|determined|given)\b", re.IGNORECASE)
_UNFINISHED = re.compile(r"!|\.\.|…")  # a factorial, a number that is cut off
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
    found = marks(text)
    closed = [mark for mark in found if mark.closed]
    if _HASHES in text:
        said = text.split(_HASHES)[1:]
    elif closed:
        if any(_JOINED.match(text, mark.at) for mark in closed):  # "\boxed{5} or 6"
            return None
        said = [mark.said for mark in closed]
    else:
        said = [sentence(mark.said) for mark in found] or [text]
    values = {_lone(plain_text(part).strip()) for part in said}
    return values.pop() if len(values) == 1 else None


def _lone(text: str) -> str | None:
    """Return the value of the only number of a reference; None where there are more, or it is a name's or denied."""
    numerals = find_numerals(text)
    if len(numerals) != 1:
        return None
    start, end, value = numerals[0].start, numerals[0].end, numerals[0].value
    if denied(text, start, end) or is_counted(text[:start]) or is_named(text[:start]) or _UNFINISHED.match(text, end):
        return None
    return value if value is not None and re.fullmatch(r"-?\d+(?:[./]\d+)?", value) else None


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
    numerals = [n for n in _without_labels(text) if not is_counted(text[max(0, n.start - 12) : n.start])]
    if not numerals:
        return None
    if claimed := [i for i, n in enumerate(numerals) if _is_the_answer(text, n)]:
        return _one(text, numerals, claimed[-1])
    first = numerals[0]
    begins = not re.search(r"\w", text[: first.start]) and _EXPLAINED.match(text, first.end)
    if begins and not any(_OPERATOR.fullmatch(text, first.end, n.start) for n in numerals[1:2]):
        return _one(text, numerals[:1], 0)
    sides = [beside(text, n.start, n.end) for n in numerals]
    counted = [n for n, side in zip(numerals, sides, strict=True) if side is not Beside.RATE]
    if counted and counted[-1] is numerals[-1] and len(counted) > 1 and sides[-1] is Beside.MAY_BE_RATE:
        counted = counted[:-1]
        since, until = _equation(text, counted, len(counted) - 1)
        if len(_sides(text, counted[since : until + 1])) == 1:  # "18 for 3 days" may tell either, "3 * 6 = 18" tells 18
            return None
    numerals = _without_remark(text, counted or numerals)
    while len(numerals) > 1 and _between(_NOT, text, numerals[-2], numerals[-1]):
        numerals = numerals[:-1]
    return _one(text, numerals, len(numerals) - 1)


def _is_the_answer(text: str, number: Numeral) -> bool:
    """Return whether a number is called the answer, and not only for the sake of the argument."""
    supposed = _SUPPOSED.search(text[max(0, number.start - 60) : number.start])
    return _IS_THE_ANSWER.match(text, number.end) is not None and not supposed


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
    behind = (
        numerals[last + 1 : last + 2] if told is numerals[last] and not _leads_to(text, numerals, last, told) else []
    )
    if any(
        _others(told, n) and (_between(_JOINED, text, told, n) or _between(_MEASURE, text, told, n)) for n in behind
    ):
        return None
    ahead = numerals[first - 1 : first] if first == last else []
    return None if any(_others(told, n) and _either(text, n, told) for n in ahead) else told.value


def _leads_to(text: str, numerals: Sequence[Numeral], last: int, told: Numeral) -> bool:
    """Return whether the equation behind a number comes to that number: "5: 3 + 2 = 5"."""
    if last + 1 >= len(numerals):
        return False
    first, end = _equation(text, numerals, last + 1)
    sides = _sides(text, numerals[first : end + 1])
    return first == last + 1 and len(sides) > 1 and len(sides[-1]) == 1 and not _others(told, sides[-1][0])


def _without_remark(text: str, numerals: list[Numeral]) -> list[Numeral]:
    """Return the numbers but those of a sum in brackets that ends the text behind one: "3 * 6 = 18 (3 * 6)"."""
    for i, number in enumerate(numerals[:-1]):
        if (remark := _REMARK.match(text, number.end)) and remark.start(1) <= numerals[i + 1].start:
            first, last = _equation(text, numerals, i + 1)
            sum_only = first == i + 1 < last == len(numerals) - 1 and len(_sides(text, numerals[first:])) == 1
            return numerals[: i + 1] if sum_only else numerals
    return numerals


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


def _either(text: str, one: Numeral, other: Numeral) -> bool:
    """Return whether a number and the one before it are two answers, or two parts of one."""
    between = text[one.end : other.start]
    if _alternatives(text, one, other) or is_compound(between, text[other.end :][:20]):
        return True
    if _PAIR.fullmatch(between) and re.match(r"[\s.!%*_)\]}$]*$", text[other.end :]):
        return True
    names = [_EQUATED.search(text[max(0, n.start - 8) : n.start]) for n in (one, other)]
    return bool(_BOTH.fullmatch(between) and names[0] and names[1] and names[0][1] != names[1][1])


def _alternatives(text: str, one: Numeral, other: Numeral) -> bool:
    """Return whether two numbers stand for one another ("5 or 6", "5 to 6"); a list may end with its answer."""
    between = text[one.end : other.start]
    return (
        _JOINED.fullmatch(between) is not None
        and re.search(r"\b(?:or|to|and|through|until|out\s+of)\b|[~:/–—、或和到至-]", between) is not None
    )


def _between(pattern: re.Pattern[str], text: str, one: Numeral, other: Numeral) -> bool:
    return pattern.fullmatch(text, one.end, other.start) is not None
