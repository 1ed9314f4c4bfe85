"""Methods at equal learning, as plain values for the page's script."""

from __future__ import annotations

import math
from typing import Any

from secura_bench.report.study.cells import Cell
from secura_bench.report.study.frontier import Line, every_frontier
from secura_bench.report.study.protocols import Protocol
from secura_bench.report.study.study import Study


def curves(study: Study, protocol: Protocol) -> dict[str, Any]:
    """Return the curve of each method that was run in several settings, its points from gentle to strong.

    ``by`` is what tells of learning, ``before`` what the untouched model scores by it. There are no ``lines`` where
    what was kept is not told in percent of the base's.
    """
    found = next((each for each in every_frontier(study) if each.protocol.id == protocol.id), None)
    if found is None or not found.in_percent:
        return {"lines": [], "by": "", "before": _cell(Cell())}
    before = found.lines[0].placings[0].before
    by = found.elsewhere or found.learned.heading
    return {"lines": [_line(line) for line in found.lines], "by": by, "before": _cell(before)}


def _line(line: Line) -> dict[str, Any]:
    return {
        "name": line.name,
        "key": line.family.key.removeprefix("train.").removeprefix("methods."),
        "points": [
            {
                "method": each.method,
                "value": f"{value:g}",
                "on": each.method not in line.beaten,
                "learned": _cell(each.learned),
                "kept": _cell(kept),
            }
            for each, value, kept in zip(line.placings, line.values, line.kept, strict=True)
        ],
    }


def _cell(value: Cell) -> dict[str, float | bool | None]:
    return {"v": _end(value.value), "l": _end(value.low), "h": _end(value.high), "o": value.items_only}


def _end(number: float) -> float | None:
    return round(number, 3) if math.isfinite(number) else None
