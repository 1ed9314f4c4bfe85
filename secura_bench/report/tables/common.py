"""What tables of every kind share: the first column, the title, what they are of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import MISSING, Cell
from secura_bench.report.study.protocols import Protocol
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import Column, Number, Row

LABEL = Column("method", "label")
SEPARATE = "mean of"


def metric_name(protocol: Protocol) -> str:
    """Return the heading of the protocol's main metric."""
    return protocol.main.heading


def arms_on(study: Study, sequence: tuple[str, ...]) -> list[Arm]:
    """Return the arms on a sequence, multi-task training first: it is the upper bound."""
    arms = [arm for arm in study.arms if arm.sequence == sequence]
    return sorted(arms, key=lambda arm: arm.name != "mtl")


def title_of(study: Study, protocol: Protocol) -> str:
    """Return what a table of scores is called before its own name."""
    only = study.sequences[0][0] if study.mode == "separate" and len(study.sequences) == 1 else ""
    rows = f" · {study.given} {only}" if only else ""
    return f"{study.title}{rows} · {protocol.heading} · probe {study.probe_of(protocol.id)}"


def place_of(study: Study, protocol: Protocol | None = None) -> dict[str, str]:
    """Return what every number of a table is of."""
    apart = {"apart": study.apart} if study.apart else {}
    return study.names | apart | ({"protocol": protocol.id} if protocol else {})


def value_of(row: Row, i: int) -> bool:
    """Return whether there is a number in a column."""
    entry = row.entries[i]
    return isinstance(entry, Number) and not entry.cell.missing


def with_numbers(
    columns: Sequence[Column], rows: Sequence[Row], asked: Sequence[bool] = ()
) -> tuple[list[Column], list[Row]]:
    """Return a table without the columns that have no number in any row; those that were ``asked`` for stay."""
    keep = asked or [False] * len(columns)
    shown = [i for i, c in enumerate(columns) if c.kind == "label" or keep[i] or any(value_of(row, i) for row in rows)]
    return [columns[i] for i in shown], [replace(r, entries=tuple(r.entries[i] for i in shown)) for r in rows]


def over_runs(arm: Arm, values: Sequence[float | None], scale: float = 1.0) -> Number:
    """Return the mean over an arm's runs of a number that some may lack."""
    known = [value for value in values if value is not None]
    return Number(Cell(scale * math.fsum(known) / len(known) if known else MISSING, seeds=arm.seeds))
