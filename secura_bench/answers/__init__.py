"""How answers and references are read; ``docs/answers.md`` is the rule on one page."""
