"""Everything as tidy CSV: one number a row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from secura_bench.foundation.harmless import plain
from secura_bench.report.study.rows import places
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import Number, Table

COLUMNS = {
    "table": "the table that shows the number, or 'scores' for one run's score",
    "experiment": "the experiment's name",
    "model": "the model's label",
    "mode": "sequence (tasks one after another) or separate (each from a fresh base)",
    "protocol": "how it was scored",
    "method": "the method's label, with what tells it from others of that label",
    "sequence": "the tasks that were trained",
    "seed": "the run's seed; empty for a number over several seeds, or of the base",
    "at": "start, learned (right after the task), end; for scores: the number of the scoring moment",
    "after": "the task trained last; empty before training",
    "step": "optimizer steps done within that task",
    "role": "probe, part (of the probe) or task",
    "task": "what was scored",
    "metric": "the metric; 'bleu:retention' and the like are derived from it",
    "statistic": "value, low or high (95 % interval), published, difference (less the published), n (items), seeds",
    "number": "the number",
    "note": "why there is no interval, or that it is of one seed's items only; best or not told apart from it; verdict "
    "on, and flaws of, a published number",
}
"""The columns and what they hold."""

TidyRow = dict[str, str | float | int]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def tidy(tables: Sequence[Table], studies: Sequence[Study]) -> str:
    """Return every score of every run, and every number of the tables with its interval, under ``COLUMNS``."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in [*_scores(studies), *_numbers(tables)]:
        writer.writerow({name: _safe(value) if isinstance(value, str) else value for name, value in row.items()})
    return stream.getvalue()


def _scores(studies: Sequence[Study]) -> Iterator[TidyRow]:
    for place, _, score in places(studies):
        common: TidyRow = {"table": "scores", **{name: "" if of is None else of for name, of in place.items()}}
        yield {**common, "statistic": "n", "number": score.n}
        for metric, value in score.values.items():
            if value is not None:
                yield {**common, "metric": metric, "statistic": "value", "number": value}


def _numbers(tables: Sequence[Table]) -> Iterator[TidyRow]:
    for table in tables:
        for row in table.rows:
            for column, entry in zip(table.columns, row.entries, strict=True):
                if not isinstance(entry, Number):
                    continue
                of = {**table.of, **row.of, **column.of}
                common = {"table": table.id, **{name: value for name, value in of.items() if name in COLUMNS}}
                cell = entry.cell
                numbers = {"value": cell.value, "low": cell.low, "high": cell.high, "published": entry.published}
                numbers |= {"difference": entry.difference, "n": cell.n or None, "seeds": len(cell.seeds) or None}
                if cell.missing and entry.published is None:
                    continue
                words = ["best or not told apart"] if entry.best else []
                words += ["items only: one seed"] if cell.items_only and cell.interval else []
                words += [word for word in (cell.why, entry.verdict, entry.reason, *entry.flaws) if word]
                for statistic, value in numbers.items():
                    if value is not None and not math.isnan(value):
                        note = "; ".join(words) if statistic in ("value", "published") else ""
                        yield {**common, "statistic": statistic, "number": value, "note": note}


def _safe(text: str) -> str:
    """Return ``text`` so that no spreadsheet takes it for a formula."""
    shown = plain(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
