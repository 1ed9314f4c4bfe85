"""The whole matrix, or part of it, as a table: rows are architectures, columns are methods, and no cell may be wrong.

python tests/matrix/run.py [--rows llama,gpt2] [--columns "lora;seq"] [--say FILE] [--jobs 2]

The whole of it writes docs/models.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

from cells import Outcome, cell
from columns import COLUMNS, Names
from page import PAGE, Made, page
from zoo import ARCHITECTURES, quiet, write

SIGNS = {"right": "+", "refused": ".", "wrong": "X"}
Table = dict[tuple[str, str], Outcome]


def fill_row(row: str, columns: Sequence[str], work: Path) -> tuple[Table, float]:
    """Return the outcomes of a row, and its seconds."""
    quiet()
    began = time.monotonic()
    model, names = write(row, work / row / "model" / row), Names.of(row)
    table = {(row, column): cell(column, model, names, work / row / "cell") for column in columns}
    return table, time.monotonic() - began


def fill(rows: Sequence[str], columns: Sequence[str], work: Path, file: Path | None = None, jobs: int = 1) -> Table:
    """Return every cell's outcome, each row said as it is done, and each cell's reason in ``file``."""
    table: Table = {}
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        waiting = {pool.submit(fill_row, row, columns, work): row for row in rows}
        for done in as_completed(waiting):
            found, seconds = done.result()
            table |= found
            signs = " ".join(SIGNS[outcome.kind] for outcome in found.values())
            print(f"{waiting[done]:<16} {signs}  {seconds:.0f} s", flush=True)
            if file:
                file.write_text("\n".join(lines(table)) + "\n")
    return table


def lines(table: Table) -> list[str]:
    """Return every cell's outcome and reason, a line each."""
    said = (f"{row}; {column}; {outcome.kind}; {outcome.why}" for (row, column), outcome in table.items())
    return [" ".join(line.split()) for line in said]


def main() -> int:
    """Fill the table that was asked for; 1 if a cell is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ARCHITECTURES))
    parser.add_argument("--columns", default=";".join(COLUMNS), help="separated by ;")
    parser.add_argument("--say", type=Path, help="a file for every cell's outcome and reason")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the rows")
    asked = parser.parse_args()
    rows, columns = asked.rows.split(","), asked.columns.split(";")
    made = Made.now()
    for number, column in enumerate(columns):
        print(f"{' ' * 17}{'| ' * number}{column}")
    with tempfile.TemporaryDirectory() as work:
        table = fill(rows, columns, Path(work), asked.say, asked.jobs)
    counts = Counter(outcome.kind for outcome in table.values())
    print(f"\n{SIGNS['right']} right   {SIGNS['refused']} refused, with a reason   {SIGNS['wrong']} wrong")
    print(", ".join(f"{counts[kind]} {kind}" for kind in SIGNS), f"of {len(table)} cells")
    print("\n".join(line for line in lines(table) if "; wrong; " in line))
    if {row for row, _ in table} == set(ARCHITECTURES) and columns == list(COLUMNS):
        PAGE.write_text(page(table, made), encoding="utf-8")
        print(f"written: {PAGE}")
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
