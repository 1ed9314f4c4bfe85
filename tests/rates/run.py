"""Simulate what the reports conclude, and print how often it is right: Markdown, the same at every call.

python tests/rates/run.py [--sets 500] [--family "Ten methods"]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from counts import LIMIT, SAID, Count
from designs import FAMILIES, simulate


def main() -> int:
    """Print the tables that were asked for; 1 where a rate misses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--family", action="append", choices=FAMILIES)
    asked = parser.parse_args()
    missed = 0
    for family in asked.family or FAMILIES:
        found = {}
        for design in FAMILIES[family]:
            began = time.monotonic()
            found[design.name] = simulate(design, asked.sets).found
            misses = [f"{what} {count.rate:.1f} %" for what, count in found[design.name].items() if count.missed]
            said = [f"{family}: {design.name}: {time.monotonic() - began:.1f} s", *misses]
            print("; ".join(said), file=sys.stderr, flush=True)
        print(f"\n## {family}\n\n" + "\n".join(_table(found)), flush=True)
        missed += sum(count.missed for counts in found.values() for count in counts.values())
    print(f"\n{missed} rates miss ({asked.sets} data sets a design; below {LIMIT['coverage']:g} % or above ", end="")
    print(f"{LIMIT['error']:g} % by more than two standard errors).")
    return min(missed, 1)


def _table(found: Mapping[str, Mapping[str, Count]]) -> Iterator[str]:
    """Yield the lines of a family's table: a row a design, a column what was said."""
    columns = list(dict.fromkeys((what, count.aim) for counts in found.values() for what, count in counts.items()))
    said = [f"{what} ({SAID[aim]:g} %)" if aim in SAID else f"{what} (power)" for what, aim in columns]
    yield f"| design | {' | '.join(said)} |"
    yield f"|---|{'---:|' * len(columns)}"
    for name, counts in found.items():
        cells = {(what, count.aim): _cell(count) for what, count in counts.items()}
        yield f"| {name} | {' | '.join(cells.get(column, '') for column in columns)} |"


def _cell(count: Count) -> str:
    """Return the rate in percent, bold where it misses; after † that of what is said of items only."""
    shown = "" if math.isnan(count.rate) else f"**{count.rate:.1f}**" if count.missed else f"{count.rate:.1f}"
    silent = f" ({100 * count.silent / count.all:.0f} % silent)" if count.silent else ""
    only = f" †{100 * count.items_hits / count.items_told:.1f}" if count.items_told else ""
    return (shown + silent + only).strip()


if __name__ == "__main__":
    sys.exit(main())
