"""What models may answer to a problem: the body, the function anew between fences, and a body that is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from bodies import body
from problems import LAYOUTS, PROBLEMS, wrong_body

from secura_bench.execution.reading import program_of


@dataclass(frozen=True)
class Asked:
    """A program, and the verdict that it must have."""

    name: str
    program: str
    wanted: str


def answers_of(language: str, name: str) -> list[Asked]:
    """Return the programs of a problem: two right answers in two forms, and a wrong one."""
    code, right = LAYOUTS[language](PROBLEMS[name]), body(language, name)
    closed = right if code.tests.lstrip()[0] != "}" else right + "}\n"
    chat = f"Here it is:\n\n```{language}\n{code.begin}{closed}```\n\nIt works."
    answers = ((right, "passed"), (chat, "passed"), (wrong_body(PROBLEMS[name], language), "failed"))
    return [
        Asked(name, program_of(language, code.begin, answer, code.tests, code.stop), wanted)
        for answer, wanted in answers
    ]
