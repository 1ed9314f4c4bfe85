"""The options of a question, and where a text names one of them in its own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from secura_bench.answers.latex import plain_text
from secura_bench.answers.numerals import find_numerals

Denied = Callable[[str, int, int], bool]

_QUOTES = "*_\"'“”‘’` "
_OPENING = re.compile(r"[\s*_`\"'“‘]*")
_BESIDE = 30  # characters beside an option that say whether a word or a number goes on there
_ARTICLE = re.compile(r"^(?:an?|the) ")
_GOES_ON = (
    r"(?i:because|since|as|for|if|unless|due|it|he|she|they|we|you|this|that|these|those|there|the|a|an|his|her|its|their|is|are"
    r"|was|were|would|and|or|but|not|in|at|on|to|here|i|explanation|reason)"
)
_PERCENT = re.compile(r"\s*(?:%|percent)")


@dataclass(frozen=True)
class Place:
    """Where a text names an option, by its number from 0."""

    start: int
    end: int
    index: int


def fold(text: str) -> str:
    """Return ``text`` with white space folded into single blanks."""
    return " ".join(text.split())


def plain(text: str) -> str:
    """Return ``text`` without case, quotes, emphasis and a full stop at its end; what is nothing else stays."""
    folded = fold(text)
    return folded.casefold().strip(_QUOTES).rstrip(".").rstrip(_QUOTES) or folded


def alike(choices: Sequence[str]) -> tuple[str, str] | None:
    """Return two options that nothing but case, quotes or a full stop tells apart; None where there are none."""
    seen: dict[str, str] = {}
    for choice in choices:
        if (other := seen.setdefault(plain(choice), choice)) is not choice:
            return other, choice
    return None


def same_number(choices: Sequence[str]) -> tuple[str, str] | None:
    """Return two options that are one number ("5" and "five"), so that only their text tells them apart; else None."""
    seen: dict[str, str] = {}
    for choice in choices:
        value = _number(plain(plain_text(choice)))
        if (
            value is not None
            and (other := seen.setdefault(value, choice)) is not choice
            and plain(other) != plain(choice)
        ):
            return other, choice
    return None


class Options:
    """The options of one question, made ready to be looked for.

    Case, quotes and a full stop at the end do not count, unless nothing else tells two options apart. An option that
    is a number is found as a number: 5 is not in 5.5, -5 or 5 %.

    Attributes:
        texts: the options as they are. words: the same without case, quotes and the like. letters: those that are a
            single letter, by that letter. numbers: those that are a number, by its value.
    """

    def __init__(self, choices: Sequence[str]) -> None:
        self.texts = tuple(choices)
        choices = [plain_text(choice) for choice in choices]
        plains = [plain(choice) for choice in choices]
        self.words = frozenset(plains)
        self._longest = 2 * max(map(len, plains), default=0) + _BESIDE
        self.letters = {
            p.upper(): i for i, p in enumerate(plains) if re.fullmatch(r"[a-z]", p) and plains.count(p) == 1
        }
        values = [_number(p) for p in plains]
        self.numbers = {value: i for i, value in enumerate(values) if value is not None and values.count(value) == 1}
        self._plains = {p: i for i, p in enumerate(plains) if plains.count(p) == 1}
        bares = [_ARTICLE.sub("", p) for p in plains]
        self._bares = {bare: i for i, bare in enumerate(bares) if len(bare) > 1 and bares.count(bare) == 1}
        self._exact = {fold(choice): i for i, choice in enumerate(choices)}
        self._patterns = [
            None if _number(p) is not None and values.count(_number(p)) == 1
            else _pattern(p if plains.count(p) == 1 else fold(choice).strip(_QUOTES).rstrip("."), plains.count(p) == 1)
            for choice, p in zip(choices, plains, strict=True)
        ]  # fmt: skip

    def whole(self, text: str) -> int | None:
        """Return the option that is the whole of ``text``."""
        exact = self._exact.get(fold(text))
        if exact is not None or not fold(text):
            return exact
        found = self._plains.get(plain(text))
        return found if found is not None else self._bares.get(_ARTICLE.sub("", plain(text)))

    def at(self, text: str, start: int) -> Place | None:
        """Return the longest option that stands at ``start``, quotes and emphasis before it passed over."""
        opening = _OPENING.match(text, start)
        begins = opening.end() if opening else start
        behind = max(0, begins - _BESIDE)
        places = self.places(text[behind : begins + self._longest], begins - behind)
        longest = max((p for p in places if p.start == begins - behind), key=lambda place: place.end, default=None)
        return longest and Place(longest.start + behind, longest.end + behind, longest.index)

    def places(self, text: str, start: int = 0) -> list[Place]:
        """Return every place where an option is named, those within longer ones included."""
        found = [
            Place(match.start(), match.end(), index)
            for index, pattern in enumerate(self._patterns)
            if pattern is not None
            for match in pattern.finditer(text, start)
        ]
        if self.numbers:
            found += [
                Place(numeral.start, numeral.end, self.numbers[numeral.value])
                for numeral in find_numerals(text)
                if numeral.value in self.numbers and numeral.start >= start and not _PERCENT.match(text, numeral.end)
            ]
        return found

    def mentioned(self, text: str, denied: Denied) -> frozenset[int] | None:
        """Return the options mentioned and not denied, but within longer ones; None where none is mentioned at all."""
        outer: list[Place] = []
        widest = Place(-1, -1, -1)
        for place in sorted(self.places(text), key=lambda place: (place.start, -place.end)):
            within = widest.end > place.end or (widest.end == place.end and widest.start < place.start)
            if not within:
                outer.append(place)
                widest = place
        if not outer:
            return None
        return frozenset(place.index for place in outer if not denied(text, place.start, place.end))


def _number(text: str) -> str | None:
    """Return the value of an option that is a number and nothing else."""
    numerals = find_numerals(text)
    return numerals[0].value if len(numerals) == 1 and (numerals[0].start, numerals[0].end) == (0, len(text)) else None


def _pattern(text: str, any_case: bool) -> re.Pattern[str] | None:
    """Return what finds an option's text where no word, sign or number goes on beside it; None without a word in it."""
    if not re.search(r"\w", text):
        return None
    words = r"\s+".join(map(re.escape, text.split()))
    before = r"(?<![\w])(?<!\w['’\-/])(?<!\d[.,:])" + (r"(?<![-−])" if text[0].isdigit() else "")
    if text.lower() == "no":  # "no idea" says neither yes nor no
        words += rf"(?![ \t]+(?!{_GOES_ON}\b)[^\W\d_])"
    return re.compile(rf"{before}{words}(?!\w|['’\-/^]\w|[.,:]\d|\s?%)", re.IGNORECASE if any_case else 0)
