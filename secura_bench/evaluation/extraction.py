"""Reading an answer out of what a model wrote: its own step, with its own tests, apart from judging it."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from secura_bench.data.example import Row
from secura_bench.data.pattern import last_match

Kind = Literal["number", "choice", "text"]

_LONGEST = 20_000  # characters that are read, the last ones: an answer comes at the end
_LONGEST_NUMBER = 200  # characters

_UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: value for value, word in enumerate(["zero", *_UNITS, *_TEENS])}
_WORDS |= {word: 10 * value for value, word in enumerate(_TENS, start=2)}

_BELOW_100 = rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_UNITS)}))?|{'|'.join(['zero', *_TEENS, *_UNITS])})"
_BELOW_1000 = rf"(?:(?:{'|'.join(_UNITS)}) hundred(?: (?:and )?{_BELOW_100})?|{_BELOW_100})"
_IN_WORDS = rf"\b(?:{_BELOW_1000} thousand(?:,? (?:and )?{_BELOW_1000})?|{_BELOW_1000})\b"
_IN_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w)])[-−+]\$?|(?<!\w)(?:minus|negative)\s)?"
    rf"(?:(?P<digits>{_IN_DIGITS})(?:/(?P<under>\d+)(?![\d/]))?|(?P<words>{_IN_WORDS}))",
    re.IGNORECASE,
)
_OPERATOR = re.compile(r"[ \t%)]*[*×xX/÷+\-−^=]+[ \t$(]*")
_ANSWER = re.compile(
    r"\b(?:answer|(?:correct|right|best)\s+(?:option|choice))(?:\s+is|\s*[:=])\s*:?\s*|\\boxed\{", re.IGNORECASE
)
_AFTER = r"(?=\W*$|[).:,;*\]}]|\s+(?:because|since|as|and|or|\())"
_SAID_LETTER = re.compile(rf"^(?:option\s|choice\s)?\W{{0,4}}([A-Z]){_AFTER}|^\W{{0,3}}\(([a-z])\)")
_LEADING_LETTER = re.compile(
    r"^(?:[Oo]ption |[Cc]hoice )?\W{0,4}([A-Z])(?=[).:*\]}]|$)|^\W{0,3}\(([a-z])\)|^([a-z])(?:\)|\W*$)"
)
_OPTION_LETTER = re.compile(r"\b[Oo]ption \W{0,3}([A-Z])(?=[).:,*\]}]|\W*$)")


def extract(kind: Kind, text: str, row: Row, pattern: str | None = None) -> str | None:
    """Return the answer that ``text`` gives to ``row``, in a normal form, or None where it gives none.

    ``number``: the first number after the last ``####``, else after the last "the answer is", or what it comes to
    where an equation begins with it ("6 * 3 = 18"), else the last number of all, in digits, as a fraction or in words
    below a million; as a plain decimal where it has one.
    ``choice``: an option's text, named by the whole text, by its letter (which goes before the text beside it), or as
    the only option that is mentioned; first of all after "the answer is".
    ``text``: the text itself, white space folded.
    Where ``pattern`` is given (a task file's ``extract``), only what it finds last is read.
    """
    text = text[-_LONGEST:]
    if pattern is not None:
        text = last_match(pattern, text) or ""
    return _EXTRACTORS[kind](text, row)


def is_right(kind: Kind, extracted: str | None, row: Row) -> bool:
    """Return whether the extracted answer is the one that the reference gives by the same reading.

    The reference is read without the task's pattern, which is made for what models write.
    """
    if extracted is None:
        return False
    if kind == "choice" and row.choices is not None and row.answer_index is not None:
        return extracted == row.choices[row.answer_index]
    return extracted == extract(kind, row.target, row)


def _number(text: str, row: Row) -> str | None:
    _, marked, after = text.rpartition("####")
    if marked:
        return _first(after)
    if said := _first(_after_the_answer(text)):
        return said
    found = list(_NUMBER.finditer(text))
    return _normal(found[-1]) if found else None


def _first(text: str) -> str | None:
    """Return the first number of ``text``; where an equation begins with it, the last side that is one number."""
    found = list(_NUMBER.finditer(text))
    sides = [found[:1]]
    for before, number in pairwise(found):
        between = text[before.end() : number.start()]
        if not _OPERATOR.fullmatch(between):
            break
        if "=" in between:
            sides.append([])
        sides[-1].append(number)
    alone = [side[0] for side in sides if len(side) == 1]
    return _normal((alone or found)[-1 if alone else 0]) if found else None


def _normal(match: re.Match[str]) -> str:
    """Return a number as a plain decimal, or as a reduced fraction where it has no finite one."""
    if len(match[0]) > _LONGEST_NUMBER:  # no answer, and beyond what Python converts
        return match[0]
    if match["words"]:
        value = Fraction(_value_of_words(match["words"]))
    else:
        value = Fraction(match["digits"].replace(",", ""))
        under = int(match["under"] or 1)
        if not under:
            return f"{match['digits']}/0"
        value /= under
    if match["sign"] and "+" not in match["sign"]:
        value = -value
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return str(value)
    places = len(str(value.denominator)) * 4  # enough for any finite decimal of that denominator
    whole, part = divmod(abs(value) * 10**places, 10**places)
    decimals = str(int(part)).rjust(places, "0").rstrip("0")
    return ("-" if value < 0 else "") + str(whole) + (f".{decimals}" if decimals else "")


def _value_of_words(words: str) -> int:
    total = part = 0
    for word in re.split(r"[\s,-]+", words.lower()):
        if word == "hundred":
            part *= 100
        elif word == "thousand":
            total, part = 1000 * part, 0
        elif word != "and":
            part += _WORDS[word]
    return total + part


def _after_the_answer(text: str) -> str:
    """Return what follows the last "the answer is", "" where nothing says so."""
    places = [match.end() for match in _ANSWER.finditer(text)]
    return text[places[-1] :] if places else ""


def _choice(text: str, row: Row) -> str | None:
    choices = row.choices or ()
    said = fold(text)
    if exact := _named(said, choices):
        return exact
    answer = _after_the_answer(said)
    if answer:
        found = _named(answer, choices) or _lettered(_SAID_LETTER, answer, choices) or _mentioned(answer, choices)
        if found:
            return found
    leading = _lettered(_LEADING_LETTER, said, choices) or _lettered(_OPTION_LETTER, said, choices)
    return leading or _mentioned(said, choices)


def _named(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the option that is the whole of ``text``."""
    return next((choice for choice in choices if _plain(choice) == _plain(text)), None)


def _lettered(letter: re.Pattern[str], text: str, choices: tuple[str, ...]) -> str | None:
    """Return the option whose letter ``text`` names."""
    if match := letter.search(text):
        index = ord(next(group for group in match.groups() if group).upper()) - ord("A")
        return choices[index] if index < len(choices) else None
    return None


def _mentioned(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the only option mentioned; one within a longer mentioned option does not count ("red" in "dark red")."""
    text = _plain(text)
    mentioned = [choice for choice in choices if _mentions(text, choice)]
    longest = [c for c in mentioned if not any(c != other and _mentions(_plain(other), c) for other in mentioned)]
    return longest[0] if len(longest) == 1 else None


def _mentions(text: str, choice: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(_plain(choice))}(?!\w)", text) is not None


def _plain(text: str) -> str:
    return fold(text).casefold().strip("*\"'` ").rstrip(".")


def _text(text: str, row: Row) -> str | None:
    return fold(text) or None


def fold(text: str) -> str:
    """Return ``text`` with white space folded into single blanks."""
    return " ".join(text.split())


_EXTRACTORS: dict[str, Callable[[str, Row], str | None]] = {
    "number": _number,
    "choice": _choice,
    "text": _text,
}
