"""Which option an answer names: by its text, by its letter, or as the only one that it mentions and does not deny."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from secura_bench.answers.equations import option_of_equation
from secura_bench.answers.latex import plain_text
from secura_bench.answers.options import Options
from secura_bench.answers.said import as_last_said, denied, denied_after, denies, marks, own_part, sentence

_FLUFF = re.compile(
    r"(?:that|the|is|it|it['’]s|most|probably|likely|possibly|definitely|clearly|surely|certainly|simply|just|only|"
    r"either|both|option|choice|letter|answer|maybe|perhaps|therefore|thus|actually|one|of|a|an|i|think|believe|say|would|"
    r"be|as|follows|below|correct|number)\b[\s,:]*",
    re.IGNORECASE,
)
_OPENING = " \t\r\n*_:`"
_NEGATED = re.compile(r"(?:certainly |definitely |clearly )?(?:not|never|neither|none|n['’]t|cannot)\b", re.IGNORECASE)
_INSTEAD = re.compile(r"\b(?:but|rather|instead)\b[\s,:]*", re.IGNORECASE)
_ENDS = re.compile(
    r"(?=[\s*_`\"'”’$)\]}.]*$|[ \t*_`\"'”’$]*\n|[\s*_`\"'”’$]*[).:;!\]}。，；！：]|\s*,\s|\s+(?:because|since|as|and|"
    r"or|for|due|rather|instead|not|given|based|here|which|The|This|That|It|Explanation|Reason|Because|Since|Question)\b"
    r"|\s*[(–—]|\s+-\s|\s+(?:is|was|would|seems)\b|\s*/)"
)
_STARTS = re.compile(
    r"(?=[\s*_`\"'”’$)\]}.]*$|[ \t*_`\"'”’$]*\n|[*_`\"'”’$]*[).:\]}]|\s*,?\s+(?:because|since|as|for|due|Because|Since|"
    r"Explanation|Reason)\b|\s*,\s+(?:and\s+)?not\b|\s*[–—]|\s+-\s|\s+is\s+(?:the\s+)?(?:most\s+)?(?:correct|right|best|answer|true)\b|\s+or\b|\s+and\b|/|[!?！？。]+\s*$|\s*[,;，；]\s*\(?[A-HJ-Z](?![\w'’]))"
)
_PAUSE = re.compile(r"[\s*_`\"'”]*[,;!?\n]")
_NO_WORD = re.compile(r"\W*")
_WORD_BEHIND = re.compile(r"\s+[a-z]")
_LINE_ENDS = re.compile(r"[\s*_`)\]!?\"'”.,;]*(?:\n|$)")
_STANDS_ALONE = re.compile(r"[*_`\"'”]*\s*(?:[.,;:!?]|\n|$)")
_LETTER = r"(?P<open>[\s*_`\"'“‘\[({$]{0,9})(?P<letter>[A-Za-z])(?P<close>[*_`\"'”’$]{0,4}[)\]}.:]?)"
_AT = re.compile(rf"(?:(?:[Oo]ption|[Cc]hoice|[Ll]etter|[Aa]nswer)\s+)?{_LETTER}")
_ANYWHERE = re.compile(
    r"(?<![\w'’.\-])(?P<open>[*_`\"'“\[({]{0,4})(?P<letter>[A-Z])(?P<close>[*_`\"'”]{0,4}[)\]}.:]?)(?![\w'’\-])"
)
_WORD = re.compile(r"\b(?:option|choice|letter)\s+[*_`\"'(\[]*$", re.IGNORECASE)
_CLAIMED_BEFORE = re.compile(
    r"(?:\b(?:it|this|that|answer|which)(?:['’]s|\s+is|\s+(?:would|must|should|will|has\s+to)\s+be)"
    r"|\bnot\s+(?:option\s+)?\W?[A-Z]\W?,?\s+but"
    r"|\b(?:choose|chose|pick|picked|select|selected|(?:go|going)\s+(?:with|for)|vote\s+for|opt\s+for|answer|say|guess|"
    r"believe|think(?:\s+it['’]?s|\s+it\s+is)?|therefore|thus|hence|so))"
    r"[\s,:]*(?:(?:it['’]?s|it\s+is|that|is|probably|likely|definitely|most\s+likely|the|option|choice|letter|answer|"
    r"correct)\s+)*[*_`\"'(\[]*$",
    re.IGNORECASE,
)
_ENDING = re.compile(
    r"(?:[,:;—–]|\b(?:probably|maybe|perhaps|possibly|likely|definitely|surely|simply|clearly|just|(?<!not )only))"
    r"\s*[*_`\"'(\[]*$",
    re.IGNORECASE,
)
_CLAIMED_AFTER = re.compile(
    r"[\s*_`\"'”)]*(?:is|was|would\s+be|seems(?:\s+to\s+be)?|must\s+be|should\s+be|appears(?:\s+to\s+be)?)\s+"
    r"(?:(?:the|a|my|most|also|clearly|probably|likely|definitely)\s+)*"
    r"(?:correct|right|best|true|accurate|answer|choice|suitable|appropriate|likely|option|final|better(?!\s+than)|it(?=[.!\s]*$))\b",
    re.IGNORECASE,
)
_SEPARATED = re.compile(
    r"[\s*_`\"'”)\].]*(?:,?\s*\b(?:or|and|and/or|or\s+even|as\s+well\s+as)\b|[,/&;+，；、]|(?=\s*\())\s*"
    r"(?:(?:maybe|possibly|perhaps|even|also|both|option|choice|the|a|an)\s+)*",
    re.IGNORECASE,
)
_NOT = re.compile(r"(?:\b(?:not|never)|n['’]t)\s+(?:option\s+|choice\s+)?[*_`\"'(\[]*$", re.IGNORECASE)
_IS = re.compile(
    r"(?:\b(?:is|was|would\s+be|will\s+be|called)|\b(?:it|that)['’]s)\s+(?:(?:most|more|very|likely|probably|the|a|an|by|to|that|in|its|of)\s+)*$",
    re.IGNORECASE,
)
_PREDICATE = re.compile(r"\s+(?:is|was|are|were|would|could|can|has|does|means|refers|describes|looks|seems)\b")
_TOGETHER = re.compile(
    r"(?:[)\s]*(?:,|,?\s*\b(?:and|or|nor)\b)\s*\(?[A-Z](?![\w'’])){1,6}(?=[)\s]*(?:are|were|aren|weren|both|all)\b)"
)
_NOT_ONE = re.compile(r"\W*(?:it['’]?s\s+|it\s+is\s+)?not\s+(?:option\s+)?\W{0,2}[A-Z]\W{0,2},\W*", re.IGNORECASE)
_ALSO = re.compile(
    r"\s+\w+\s+(?:\w+\s+)?(?:also|too|possible|plausible|valid|acceptable|fine|equally|good|ok)\b", re.IGNORECASE
)
_LONGEST_LIST = 2000  # characters of a line that is looked through for options behind their letters
_UNSURE = re.compile(
    r"\b(?:no\s+idea|unsure|not\s+sure|(?:do\s+not|don['’]t|cannot|can['’]t)\s+(?:know|say|tell))\b", re.I
)
_ASKED = re.compile(r"[\s*_\"'”)]*[?？]\s*")
_BECAUSE = re.compile(r",?\s+(?:because|since)\b", re.IGNORECASE)
_NOTHING_ELSE = re.compile(r"[\s*_)\].,]*\b(?:or|and)\s+(?:none|neither|nothing|something|another)\b", re.IGNORECASE)
_LABELLED = re.compile(r"[,;]\s*\(?([A-Z])[):]")
_WITH = re.compile(r"\s+(?:and|or|nor)\s+", re.IGNORECASE)
_LINKED = re.compile(r"\b(?:or|and|well)\b", re.IGNORECASE)
_LISTED = re.compile(r"\s*\n\s*")

Verdict = frozenset[int]
"""The options that a text may mean: none where it denies what it names, several where it cannot be told."""


@dataclass(frozen=True)
class Named:
    """An option named at a place of a text. ``index`` None: a letter that is both a label and another option's text."""

    start: int
    end: int
    index: int
    also: int | None = None
    label: bool = False  # written as a list writes it: (B), B), B., B:

    @property
    def meant(self) -> Verdict:
        """The options that may be meant."""
        return frozenset({self.index} if self.also is None else {self.index, self.also})


def answer_choice(text: str, choices: Sequence[str]) -> int | None:
    r"""Return which option ``text`` names, from 0; None where it names none, several, or denies the one it names.

    It is named by the whole text; after "the answer is" or in ``\boxed``; by the letter or the option that the text
    begins with; by a letter that is called right ("B is correct", "I would choose B"); by the only letter that is
    called an option; or as the only option whose text is mentioned, of several as the one that the first sentence ends
    with ("The colour is red."). A letter goes before the text beside it.
    """
    options = _options(tuple(choices))
    text = plain_text(own_part(text)).strip()
    if (whole := options.whole(text)) is not None:
        return whole
    verdict = as_last_said(
        text, lambda said: _verdict(said, options), lambda said: _at_once(said, options) is not None, options.words
    )
    return next(iter(verdict)) if verdict is not None and len(verdict) == 1 else None


@lru_cache(maxsize=256)
def _options(choices: tuple[str, ...]) -> Options:
    return Options(choices)


def _verdict(text: str, options: Options) -> Verdict | None:
    if (whole := _whole(text, options)) is not None:
        return frozenset({whole})
    said = [found for mark in reversed(marks(text)) if (found := _scope(mark.said, options)) is not None]
    if said and said[0]:
        return said[0]
    leading, (claimed, refused) = _leading(text, options), _claims(text, options)
    if said:  # "the answer is not B", and perhaps "it is C"
        return claimed
    if leading is not None or claimed:
        return ((leading or frozenset()) | claimed) - refused
    if called := _called(text, options):
        return called
    mentioned = options.mentioned(text, denied)
    if (result := option_of_equation(text, options)) is not None:
        return result
    return mentioned if mentioned is None or len(mentioned) < 2 else _opening(text, options) or mentioned


def _opening(text: str, options: Options) -> Verdict | None:
    """Return the option that the first sentence ends with, but for its reason, if it says "is" and names no other."""
    opening = _BECAUSE.split(sentence(text))[0]
    mentioned = options.mentioned(opening, denied)
    if mentioned is None or len(mentioned) != 1:
        return None
    said = (p for p in options.places(opening) if p.index in mentioned and not opening[p.end :].strip(" .!*_\"'”’"))
    return mentioned if any(_IS.search(opening[: place.start]) for place in said) else None


def _whole(text: str, options: Options) -> int | None:
    """Return the option that is the whole of a part of an answer, where it cannot be taken for another one's letter."""
    whole = options.whole(text)
    return None if whole is None or re.fullmatch(r"\W*[A-Za-z]\W*", text) else whole


def _scope(text: str, options: Options) -> Verdict | None:
    """Return what is named after "the answer is", at once or in the same sentence; None where nothing is."""
    said = sentence(text.lstrip(_OPENING))
    if (result := option_of_equation(said, options)) is not None:
        return result
    if (found := _at_once(text, options)) is not None:
        return found
    return _claims(said, options)[0] or _called(said, options) or options.mentioned(said, denied)


def _at_once(text: str, options: Options) -> Verdict | None:
    """Return what a text begins with after words that say nothing ("most likely option"); None if it is no option."""
    text = text.lstrip(_OPENING)
    if (whole := _whole(text.split("\n", 1)[0], options)) is not None:
        return frozenset({whole})
    while True:
        if _NEGATED.match(text) and options.at(text, 0) is None:
            instead = _INSTEAD.search(sentence(text))
            return _at_once(text[instead.end() :], options) if instead else frozenset()
        if found := _named_at(text, 0, options, _ENDS):
            return _with_alternatives(text, found, options)
        fluff = _FLUFF.match(text)
        if not fluff:
            return None
        text = text[fluff.end() :]


def _leading(text: str, options: Options) -> Verdict | None:
    """Return what a text begins with: a letter set apart from what follows, or an option's text; None if neither."""
    found = _named_at(text, 0, options, _STARTS)
    if found is None:
        return None
    if not found.label and not _STARTS.match(text, found.end) and not _PAUSE.match(text, found.end):
        return None
    if asked := _ASKED.match(text, found.end):  # "Yes? No."
        rest = text[asked.end() :]
        if then := _at_once(rest, options):
            return then
        if _UNSURE.search(sentence(rest)):
            return frozenset()
    line = text.split("\n", 1)[0]
    listed = {ord(letter) - ord("A") for letter in _LABELLED.findall(line) if found.label}
    listed |= _labelled(line[:_LONGEST_LIST], options) if found.label else set()
    return _with_alternatives(text, found, options) | frozenset(listed)


def _named_at(text: str, start: int, options: Options, ends: re.Pattern[str]) -> Named | None:
    """Return what is named at a place: an option's text of more than a letter, else a letter that ``ends`` follows."""
    by_text = options.at(text, start)
    match = _AT.match(text, start)
    if by_text is not None and (by_text.end - by_text.start > 1 or match is None):
        return Named(by_text.start, by_text.end, by_text.index)
    if match is None:
        return None
    enclosed = match["open"].endswith(("(", "[", "{", "$")) and match["close"][-1:] in (")", "]", "}", "$")
    label = enclosed or match["close"][-1:] in (")", ".", ":")
    capital = match["letter"].isupper()
    if not capital and not (enclosed or match["close"] == ")" or _NO_WORD.fullmatch(text, match.end())):
        return None
    if not label and not ends.match(text, match.end("letter")):
        return None
    word = match["letter"] in "AI" and match["close"][-1:] != "." and not enclosed  # "A good one", "I think"
    if word and _WORD_BEHIND.match(text, match.end()) and not _STARTS.match(text, match.end()):
        return None
    return _lettered(match, options, enclosed or match["close"][-1:] == ")")


def _lettered(match: re.Match[str], options: Options, label: bool) -> Named | None:
    """Return the option that a letter labels; of a bare letter that is another option's text, either may be meant."""
    letter = match["letter"].upper()
    index, text = ord(letter) - ord("A"), options.letters.get(letter)
    listed = label or match["close"][-1:] in (")", ".", ":")
    start, end = match.start("letter"), match.end()
    if index >= len(options.texts):
        return None if text is None or label else Named(start, end, text)
    other = text if text is not None and text != index and not label else None
    return Named(start, end, index, other, listed)


def _with_alternatives(text: str, found: Named, options: Options) -> Verdict:
    """Return what is named, with what is named beside it as as good ("B or C", a list of all options)."""
    ends = _ends_of(text, found, options)
    if denied(text, found.start, ends[-1]) or any(_NOTHING_ELSE.match(text, end) for end in ends):
        return frozenset()
    for pattern in (_SEPARATED, _LISTED):
        for place in ends:
            separated = pattern.match(text, place)
            other = separated and _named_at(text, separated.end(), options, _ENDS)
            if not separated or not other or other.index == found.index:
                continue
            if denied_after(text, _ends_of(text, other, options)[-1]):
                if _WITH.fullmatch(separated[0]):  # "B and C is wrong"
                    return frozenset()
                continue
            if not _LINKED.search(separated[0]) and _said_of(text, other):
                continue
            if "\n" in separated[0] and not (other.label or _alone(text, other)):
                continue
            return found.meant | other.meant
    return found.meant


def _ends_of(text: str, named: Named, options: Options) -> list[int]:
    """Return where an option's name ends: the letter, and the option's own text behind it where that stands there."""
    beside = re.compile(r"[\s*_).:\]]*(?:[-–—]\s+)?").match(text, named.end)
    own = options.at(text, beside.end()) if beside and named.label else None
    return [named.end] if own is None or own.index != named.index else [named.end, own.end]


def _labelled(line: str, options: Options) -> set[int]:
    """Return the options that a line lists, each behind its letter: "A. red B. dark red"."""
    found = set()
    for match in _ANYWHERE.finditer(line):
        index = ord(match["letter"]) - ord("A")
        if match["close"][-1:] in (")", ".", ":") and (own := options.at(line, match.end())) and own.index == index:
            found.add(index)
    return found


def _said_of(text: str, named: Named) -> bool:
    """Return whether a bare letter is what a sentence speaks of ("A is weak"), and is not called right there."""
    if named.label or not _PREDICATE.match(text, named.end):
        return False
    return not _CLAIMED_AFTER.match(text, named.end) and not _ALSO.match(text, named.end)


def _alone(text: str, named: Named) -> bool:
    return _LINE_ENDS.match(text, named.end) is not None


def _claims(text: str, options: Options) -> tuple[Verdict, Verdict]:
    """Return the options whose letters are called right and nowhere wrong ("It is (B)"), and those called wrong."""
    found: set[int] = set()
    refused: set[int] = set()
    for match in _ANYWHERE.finditer(text):
        before = text[max(0, match.start("letter") - 60) : match.start("letter")]
        enclosed = match["open"][-1:] in ("(", "[") and match["close"][-1:] in (")", "]")
        follows = enclosed or _ENDS.match(text, match.end("letter"))
        ends = _LINE_ENDS.fullmatch(text, match.end("letter")) and _ENDING.search(before)
        if ends and denies(before):
            ends = _NOT_ONE.fullmatch(text, 0, match.start("letter"))
        said = ends or (follows and _CLAIMED_BEFORE.search(before))
        named = _lettered(match, options, enclosed)
        if named is None:
            continue
        end = _ends_of(text, named, options)[-1] if named.label else named.end  # an option's own words deny nothing
        together = _TOGETHER.match(text, end)
        if denied_after(text, together.end() if together else end) or _NOT.search(before):
            refused |= named.meant
        elif denied(text, named.start, end):
            continue
        elif said:
            found |= _with_alternatives(text, named, options)
        elif _CLAIMED_AFTER.match(text, match.end()):
            found |= named.meant
    return frozenset(found - refused), frozenset(refused)


def _called(text: str, options: Options) -> Verdict:
    """Return the options whose letters are called options, or stand in brackets by themselves, and are not denied."""
    found: set[int] = set()
    for match in _ANYWHERE.finditer(text):
        enclosed = match["open"][-1:] in ("(", "[") and match["close"][-1:] in (")", "]")
        if not enclosed and not _WORD.search(text[max(0, match.start("letter") - 20) : match.start("letter")]):
            continue
        named = _lettered(match, options, enclosed)
        if named is None or denied(text, named.start, named.end):
            continue
        called = not enclosed or _STANDS_ALONE.match(text, match.end())
        if called or ((beside := options.at(text, match.end())) and beside.index == named.index):
            found |= named.meant
    return frozenset(found)
