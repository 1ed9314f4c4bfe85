"""Which option an equation comes to, where all options that it mentions are numbers."""

from __future__ import annotations

import re

from secura_bench.answers.number import answer_number
from secura_bench.answers.options import Options
from secura_bench.answers.said import denied

_COMES_TO = re.compile(r"=\s*[$€£]?\s?[-−]?[\d.,/]*\d[\s.!*_)\]}$%]*$")


def option_of_equation(text: str, options: Options) -> frozenset[int] | None:
    """Return the option that an equation at the end of ``text`` comes to, from 0; empty where that is no option.

    None where there is no equation, or where an option is mentioned that is no number.
    """
    mentioned = options.mentioned(text, denied) if _COMES_TO.search(text) else None
    if not mentioned or not mentioned <= set(options.numbers.values()):
        return None
    result = options.numbers.get(answer_number(text) or "")
    return frozenset() if result is None else frozenset({result})
