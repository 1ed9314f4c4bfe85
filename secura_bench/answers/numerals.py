"""The numbers that stand in a text, each with its value in a normal form, or without one where it has none."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from secura_bench.answers.units import is_money, is_name, is_raised_unit
from secura_bench.answers.words import IN_WORDS, PART, SCALE, is_pronoun, part_of, scale_of, value_of_words

_LONGEST = 200  # characters of a value: beyond, it is no answer, and beyond what Python converts

_SPACES = " \u00a0\u2009\u202f"
_GROUPED = (
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?",  # 1,234.5
    r"\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?",  # 1,00,000
    r"\d{1,3}(?:['’]\d{3})+(?:\.\d+)?",  # 1'234.5
    r"\d{1,3}(?:_\d{3})+(?:\.\d+)?",  # 1_234
    r"\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d{1,3}(?:\.\d{3})+,\d+",  # 1.234.567 and 1.234,5, but not 1.234
)
_DECIMAL = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_THOUSANDS = re.compile("|".join(_GROUPED))
_FRACTION = re.compile(r"(\d+) ?/ ?(\d+)")
_LIST = re.compile(r"\d+(?:\.\d+)?(?:,\d+(?:\.\d+)?){2,}")
_VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_SUPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_MONTH = r"(?-i:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)(?:uary|ruary|ch|il|e|y|ust|tember|ober|ember)?\b\.?"

_SIGN = r"(?P<sign>(?<![\w)])(?:[-−+]|(?<!\d\s)–)(?=[$€£¥₹\d.])|(?<!\w)(?:minus|negative)\s+)?"
_POWER = r"(?:\^|\*\*)\s*(?:\{\s*(?P<braced>[-−+]?\d+)\s*\}|\(?(?P<bare>[-−+]?\d+)\)?)|(?P<above>[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+)"
_NUMBER = re.compile(
    rf"{_SIGN}(?P<money>[$€£¥₹]\s?)?(?:"
    rf"(?P<date>(?<![\w.])(?:\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?{_MONTH}(?:,?\s\d{{4}})?"
    rf"|{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s\d{{4}})?|\d+(?:[-–]\d+){{2,}}))"
    rf"|(?P<spaced>(?<![\w.,])\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?:\.\d+)?(?![\w,/:.]*\d))"
    rf"|(?:(?P<whole>\d+)[ \u2009]?)?(?P<vulgar>[{_VULGAR}])"
    rf"|(?P<mixed>\d+)(?:[ \u2009]|\sand\s)(?P<over>\d+)/(?P<under>\d+)(?![\d/])"
    rf"|(?P<ratio>\d+ / \d+(?![\d.,:/]*\d))"
    rf"|(?P<chunk>\d(?:[\d.,:/'’_]*\d)?|(?<![\w.])\.\d+)"
    rf"(?P<e>[eE][-−+]?\d+(?!\d|_|[A-Za-z]+\d))?"
    rf"(?:\s?[*×x·]\s?10(?:(?P<times>{_POWER.replace('braced', 'b2').replace('bare', 'p2').replace('above', 'a2')})))?"
    rf"(?P<power>{_POWER})?"
    rf"|(?P<words>{IN_WORDS})"
    rf")(?:{PART}|\sand\s(?:a|one|1)[- ](?P<more>half|third|quarter)\b)?"
    rf"(?P<scale>{SCALE})?",
    re.IGNORECASE,
)
_FUNCTION = r"\\(?:[dt]?frac|sqrt|log|ln|exp|sin|cos|tan)\s*(?:\[\w+\])?"
_STUCK_BEFORE = re.compile(rf"(?:[A-Za-z_√≤≥^/⌊⌈]|(?<!\w)[a-z][-−]|\^\{{|\}}\{{|{_FUNCTION}\s*[{{(]?)$")
_PART_BEFORE = re.compile(
    r"(?:±|\+/[-−–]|\bplus\s+or|\bplus/minus|\bgive\s+or\s+take|\b(?:one|any|either|some|none|most|half|part|third|quarter"
    r"|root|square|cube|multiple)\s+of(?:\s+the(?:se)?)?|\b(?:twice|double|triple))\s*$",
    re.IGNORECASE,
)
_STUCK_AFTER = re.compile(
    r"[xyznπ√](?![A-Za-z])|\s?\\(?:pi|sqrt|infty)|\s?[π√]|[ ]point\s\w+|[:/^]\w|[eE][-−+]?\d"
    r"|!\s*[\d=*×x/÷+^)(−-]|\.?\\?(?:overline|bar|dot)\{|[\u0304\u0305\u0307]|\.\(\d"
)
_GOES_ON = re.compile(r"\.\.|…")


@dataclass(frozen=True)
class Numeral:
    """A number in a text: where it stands, and its value as a plain decimal, or a reduced fraction where none is exact.

    ``value`` is None where it is not one number that can be told: a date, a time, a range's half, ``1,5``, ``2π``.
    """

    start: int
    end: int
    value: str | None


def find_numerals(text: str) -> list[Numeral]:
    """Return the numbers of ``text`` in order, in digits, in words, as fractions, powers and with thousands grouped."""
    found: list[Numeral] = []
    for match in _NUMBER.finditer(text):
        before, after = text[max(0, match.start() - 20) : match.start()], text[match.end() : match.end() + 20]
        if match["words"] and is_pronoun(match["words"], before, after):
            continue
        if _LIST.fullmatch(match[0]) and not _THOUSANDS.fullmatch(match[0]):
            found += _listed(match)
            continue
        glued = _STUCK_BEFORE.search(before) and not match["words"] and match[0][0] not in "$€£¥₹"
        if (glued and before[-1:].isalpha()) or is_name(before) or is_raised_unit(before):  # B12 is a name
            continue
        absolute = match["sign"] and before.endswith("|") and after.startswith("|")
        endless = "." in match[0] and _GOES_ON.match(after)  # 0.333…, but not a sentence's "18…"
        known = not (glued or absolute or endless or _PART_BEFORE.search(before) or _STUCK_AFTER.match(after))
        money = bool(match["money"]) or is_money(before, after)
        found.append(Numeral(match.start(), match.end(), _value(match, money) if known else None))
    return found


def normal(value: Fraction) -> str:
    """Return a number as a plain decimal, or as a reduced fraction where it has no finite one."""
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


def _listed(match: re.Match[str]) -> list[Numeral]:
    """Return the items of "1,2,3"."""
    return [
        Numeral(match.start() + item.start(), match.start() + item.end(), normal(Fraction(item[0])))
        for item in re.finditer(r"[^,]+", match[0])
    ]


def _value(match: re.Match[str], money: bool) -> str | None:
    if len(match[0]) > _LONGEST:
        return match[0]
    value = _unsigned(match)
    if isinstance(value, str) or value is None:
        return value
    if match["part"]:
        share = part_of(match["part"])
        if match["part"].lower() == "quarter" and not match["words"]:  # "3 quarters" are coins, or of a year
            share = Fraction(1)
        elif (match["plural"] == "") == (value != 1):  # "twenty-fifth" is an order, not a fraction
            return None
        if share is None:
            return None
        value *= share
    if match["more"]:
        value += Fraction(1, {"half": 2, "third": 3, "quarter": 4}[match["more"].lower()])
    if match["scale"]:
        scale = scale_of(match["scale"], money)
        if scale is None:
            return None
        value *= scale
    return normal(-value if match["sign"] and "+" not in match["sign"] else value)


def _unsigned(match: re.Match[str]) -> Fraction | str | None:
    """Return the value without sign and scale; text where it is one that has no number, None where it is none."""
    if match["date"]:
        return None
    if match["words"]:
        return Fraction(value_of_words(match["words"]))
    if match["spaced"]:
        return Fraction(re.sub(f"[{_SPACES}]", "", match["spaced"]))
    if match["vulgar"]:
        above, _, below = unicodedata.normalize("NFKD", match["vulgar"]).partition("⁄")
        return int(match["whole"] or 0) + Fraction(int(above), int(below or 1))
    if match["mixed"]:
        over, under = int(match["over"]), int(match["under"])
        return int(match["mixed"]) + Fraction(over, under) if over < under else None
    value = _plain_value(match["ratio"] or match["chunk"])
    if not isinstance(value, Fraction):
        return value
    for base, exponent in (
        (Fraction(10), (match["e"] or "")[1:]),
        (Fraction(10), match["b2"] or match["p2"] or (match["a2"] or "").translate(_SUPER)),
    ):
        if exponent:
            times = _power(base, exponent)
            if times is None:
                return match[0]
            value *= times
    if raised := match["braced"] or match["bare"] or (match["above"] or "").translate(_SUPER):
        return _power(value, raised) or match[0]
    return value


def _plain_value(chunk: str) -> Fraction | str | None:
    """Return what digits with separators come to: a decimal, a fraction, grouped thousands; None of anything else."""
    if _DECIMAL.fullmatch(chunk):
        return Fraction(chunk)
    if fraction := _FRACTION.fullmatch(chunk):
        return Fraction(int(fraction[1]), int(fraction[2])) if int(fraction[2]) else None
    if not _THOUSANDS.fullmatch(chunk):
        return None
    digits = re.sub(r"[,'’_]", "", chunk)
    if chunk.count(".") > 1 or re.search(r"\..*,", chunk):  # dots group, and a comma is the decimal point
        digits = chunk.replace(".", "").replace(",", ".")
    return Fraction(digits)


def _power(base: Fraction, exponent: str) -> Fraction | None:
    """Return a power; None where it would be too long to write."""
    power = int(exponent.replace("−", "-"))
    if abs(power) * max(len(str(base.numerator)), len(str(base.denominator))) > _LONGEST or (power < 0 and not base):
        return None
    return base**power
