r"""LaTeX and Markdown written as plain text, as far as answers need it: ``\frac{3}{4}`` is 3/4, ``70{,}000`` 70,000."""

from __future__ import annotations

import re

_LAST, _LONGEST = 8, 1000  # boxes that are looked at, and characters of one
_THIN = "\u2009"  # a space that groups digits

_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"<<[^<>\n]{0,200}>>(?=\s?[-−$€£]?\s?[\d.])", ""),  # a calculator's working, and its result behind it
        (r"<<[^<>\n]{0,200}=\s*([^<>=\n]{1,40})>>", r"\1"),
        (r"\{,\}|,\\!", ","),
        (r"\\[,;:]|(?<=\d)~(?=\d)", _THIN),
        (r"\\!|\\left(?![a-z])|\\right(?![a-z])|\^\{?\\circ\}?|°", ""),
        (r"\\([$%#&_{}])", r"\1"),
        (r"\\[()\[\]]|\\ |\\q?quad\b", " "),
        (r"\\(?:times|cdot)(?![a-zA-Z])", "×"),
        (r"\\div(?![a-zA-Z])", "÷"),
        (r"\\pm(?![a-zA-Z])", "±"),
        (r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|emph)\s*\{([^{}]*)\}", r"\1"),
        (r"(?<=\d)\s*\\[dt]?frac(?=\s*[\d{])", r" \\frac"),
        (r"\\[dt]?frac\s*\{\s*([+-]?\d+)\s*\}\s*\{\s*(\d+)\s*\}", r"\1/\2"),
        (r"\\[dt]?frac\s*(\d)\s*(\d)(?!\d)", r"\1/\2"),
    )
]


def plain_text(text: str) -> str:
    """Return ``text`` without the LaTeX that spells numbers and sets letters; what else there is of it stays."""
    if not any(sign in text for sign in ("\\", "{", "~", "°", "<<")):
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def boxed(text: str) -> list[tuple[int, str]]:
    r"""Return where each of the last ``\boxed`` ends and what it holds, braces within braces included.

    One that is not closed goes to the end, or as far as an answer may go.
    """
    found = []
    for match in list(re.finditer(r"\\(?:boxed|fbox)\s*\{", text))[-_LAST:]:
        depth, end = 1, match.end()
        while end < min(len(text), match.end() + _LONGEST) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        found.append((end, text[match.end() : end - (not depth)]))
    return found
