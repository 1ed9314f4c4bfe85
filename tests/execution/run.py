"""Every problem in every language whose toolchain is here: references pass, wrong bodies fail. It takes minutes.

python tests/execution/run.py [LANGUAGE ...]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "execution")]


def main(languages: list[str]) -> int:
    """Print a line a language, and return 1 where a verdict is another than it should be."""
    from answers_of import Asked, answers_of
    from problems import LAYOUTS, PROBLEMS

    from secura_bench.execution.many import run_programs
    from secura_bench.execution.ready import why_not

    faults = 0
    for language in languages or list(LAYOUTS):
        reasons = why_not([language])
        if reasons[language]:
            print(f"{language:<11} skipped: {reasons[language]}")
            continue
        began = time.monotonic()
        asked: list[Asked] = [each for name in PROBLEMS for each in answers_of(language, name)]
        found = run_programs([(language, each.program) for each in asked], reasons)
        as_wanted = [verdict.word == each.wanted for each, verdict in zip(asked, found, strict=True)]
        for wanted in ("passed", "failed"):
            mine = [right for each, right in zip(asked, as_wanted, strict=True) if each.wanted == wanted]
            print(f"{language:<11} {sum(mine)} of {len(mine)} {wanted}")
        print(f"{language:<11} {time.monotonic() - began:.0f} s")
        for each, verdict, right in zip(asked, found, as_wanted, strict=True):
            if not right:
                print(f"  {each.name}: {verdict.word} for {each.wanted}: {verdict.said}")
                faults = 1
    return faults


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
