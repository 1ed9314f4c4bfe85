"""The whole matrix, or part of it, as a table: rows are architectures, columns are methods, and no cell may be wrong.

python tests/matrix/run.py [--rows llama,gpt2] [--columns "lora;seq"] [--jobs 2] [--say FILE]

FILE gets a line for each cell, and keeps those of other cells that it has. Once all are there, docs/models.md is
written.
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

from cells import Table, cell
from columns import COLUMNS, Names
from kept import Kept, made_with
from page import PAGE, page
from zoo import ARCHITECTURES, quiet, write

SIGNS = {"right": "+", "refused": ".", "wrong": "X"}


def fill_row(row: str, columns: Sequence[str], work: Path) -> tuple[Table, float]:
    """Return the outcomes of a row, and its seconds."""
    quiet()
    began = time.monotonic()
    model, names = write(row, work / row / "model" / row), Names.of(row)
    table = {(row, column): cell(column, model, names, work / row / "cell") for column in columns}
    return table, time.monotonic() - began


def fill(rows: Sequence[str], columns: Sequence[str], kept: Kept, file: Path | None, jobs: int) -> Table:
    """Return every cell's outcome; each row is said, and added to ``kept`` and to ``file``, as it is done."""
    table: Table = {}
    made = made_with()
    with tempfile.TemporaryDirectory() as work, ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        waiting = {pool.submit(fill_row, row, columns, Path(work)): row for row in rows}
        for done in as_completed(waiting):
            found, seconds = done.result()
            table |= found
            signs = " ".join(SIGNS[outcome.kind] for outcome in found.values())
            print(f"{waiting[done]:<16} {signs}  {seconds:.0f} s", flush=True)
            kept.add(found, made)
            if file:
                kept.write(file)
    return table


def main() -> int:
    """Fill the table that was asked for; 1 if a cell is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ARCHITECTURES))
    parser.add_argument("--columns", default=";".join(COLUMNS), help="separated by ;")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the rows")
    parser.add_argument("--say", type=Path, help="a file for every cell's outcome and reason")
    asked = parser.parse_args()
    rows, columns = asked.rows.split(","), asked.columns.split(";")
    for number, column in enumerate(columns):
        print(f"{' ' * 17}{'| ' * number}{column}")
    kept = Kept.read(asked.say)
    table = fill(rows, columns, kept, asked.say, asked.jobs)
    counts = Counter(outcome.kind for outcome in table.values())
    print(f"\n{SIGNS['right']} right   {SIGNS['refused']} refused, with a reason   {SIGNS['wrong']} wrong")
    print(", ".join(f"{counts[kind]} {kind}" for kind in SIGNS), f"of {len(table)} cells")
    for (row, column), outcome in table.items():
        if outcome.kind == "wrong":
            print(f"{row}; {column}; {' '.join(outcome.why.split())}")
    if kept.cells.keys() == {(row, column) for row in ARCHITECTURES for column in COLUMNS}:
        PAGE.write_text(page(kept), encoding="utf-8")
        print(f"written: {PAGE}")
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
