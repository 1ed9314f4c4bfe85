"""A comparison as JSON, by the schema in ``compare.schema.json`` beside this file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secura_bench.foundation.version import __version__
from secura_bench.report.comparing.at_equal_learning import limits_of, sentence_of
from secura_bench.report.comparing.beside_base import BesideBase, base_limits, base_sentence
from secura_bench.report.comparing.curves import Curves
from secura_bench.report.comparing.limits import not_to_be_claimed
from secura_bench.report.comparing.pair import Pair, Side
from secura_bench.report.comparing.words import sentence
from secura_bench.report.formats.document import finite
from secura_bench.report.statistics import POWER
from secura_bench.report.statistics.frontier import Level
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.frontier import Line
from secura_bench.report.study.placing import Placing

SCHEMA_VERSION = 1
SCHEMA = Path(__file__).parent / "compare.schema.json"


def document(
    pairs: Sequence[Pair], problems: Sequence[str], curves: Sequence[Curves] = (), of_base: Sequence[BesideBase] = ()
) -> str:
    """Return comparisons as JSON in ASCII: whatever a name holds is escaped."""
    whole: dict[str, Any] = {
        "format": "secura-bench compare",
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "comparisons": [_pair(pair) for pair in pairs],
        "skipped": list(problems),
    }
    if curves:
        whole["at_equal_learning"] = [_curves(each) for each in curves]
    if of_base:
        whole["beside_base"] = [_beside_base(each) for each in of_base]
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        **pair.study.names,
        "limit": pair.study.limit,
        "tasks": list(pair.tasks),
        "protocol": pair.protocol.id,
        "metric": pair.metric.id,
        "metric_instead": pair.instead,
        "learned_by": {"protocol": pair.by[0].id, "metric": pair.by[1].id},
        "one": _method(pair.one),
        "other": _method(pair.other),
        "learned": _side(pair.learned),
        "kept": {**_side(pair.kept), "percent_of_base": pair.in_percent},
        "learning": pair.learning,
        "sentence": sentence(pair),
        "not_to_be_claimed": list(not_to_be_claimed(pair)),
        "by_task": [_pair(part) for part in pair.parts],
    }


def _method(each: Placing) -> dict[str, Any]:
    return {
        "method": each.method,
        "label": each.arms[0].label,
        "seeds": {arm.trained_on: list(arm.seeds) for arm in each.arms},
        "did_learn": each.did_learn,
        "did_forget": each.did_forget,
    }


def _side(side: Side) -> dict[str, Any]:
    found = side.comparison
    return {
        "one": _cell(side.one),
        "other": _cell(side.other),
        "difference": found and finite(found.difference),
        "low": found and finite(found.interval.low),
        "high": found and finite(found.interval.high),
        "unit": side.unit,
        "p": found and found.p,
        "test": found and found.test,
        "items_only": found and found.items_only,
        "n": found and found.n,
        "groups": found and found.groups,
        "verdict": side.told,
        "margin": side.margin,
        "p_equal": side.equal,
        "equal": side.within,
        "takes": _takes(side),
    }


def _takes(side: Side) -> dict[str, Any] | None:
    """Return what it takes where the question is open; of one seed, of how many answers it takes more."""
    if side.takes is None or not (side.unanswered or side.told == "one seed"):
        return None
    several = side.takes.known
    return {
        "points": side.takes.points,
        "power": POWER,
        "to_tell": side.takes.to_tell and asdict(side.takes.to_tell),
        "to_equate": side.takes.to_equate and asdict(side.takes.to_equate),
        "answers_at_least": None if several else side.takes.answers,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    numbers = {"value": finite(cell.value), "low": finite(cell.low), "high": finite(cell.high)}
    return {**numbers, "n": cell.n, "items_only": cell.items_only, "why": cell.why}


def _curves(curves: Curves) -> dict[str, Any]:
    found = curves.frontier
    reached = found.reaches(curves.one) and found.reaches(curves.other)
    return {
        **curves.study.names,
        "limit": curves.study.limit,
        "tasks": list(curves.tasks),
        "protocol": curves.protocol.id,
        "metric": curves.metric.id,
        "metric_instead": found.instead,
        "learned_by": {"protocol": found.learning.id, "metric": found.learned.id},
        "one": _line(curves.one),
        "other": _line(curves.other),
        "unit": found.unit,
        "percent_of_base": found.in_percent,
        "shared_learning": list(curves.shared) if curves.shared else None,
        "difference": _level(curves.gap),
        "at": found.at if reached else None,
        "difference_at": _level(found.gap_at(curves.one, curves.other)),
        "verdict": curves.told,
        "margin": curves.margin,
        "p_equal": curves.equal,
        "equal": curves.within,
        "sentence": sentence_of(curves),
        "not_to_be_claimed": list(limits_of(curves)),
    }


def _beside_base(found: BesideBase) -> dict[str, Any]:
    each = found.placing
    return {
        **found.study.names,
        "limit": found.study.limit,
        "tasks": list(found.tasks),
        "protocol": found.protocol.id,
        "metric": found.metric.id,
        "metric_instead": found.instead,
        "learned_by": {"protocol": found.learning.id, "metric": found.learned.id},
        "method": _method(each),
        "base": _cell(each.before),
        "learned": _cell(each.learned),
        "gain": _cell(each.gain),
        "kept_percent": _cell(each.retention),
        "sentence": base_sentence(found),
        "not_to_be_claimed": list(base_limits(found)),
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "family": line.name,
        "setting": line.family.key or None,
        "points": [
            {
                "method": each.method,
                "value": finite(value),
                "learned": _cell(each.learned),
                "kept": _cell(kept),
                "on_the_curve": each.method not in line.beaten,
            }
            for each, value, kept in zip(line.placings, line.values, line.kept, strict=True)
        ],
        "without_a_place": list(line.lacking),
    }


def _level(found: Level | None) -> dict[str, Any] | None:
    if found is None:
        return None
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    told = {"value": found.value, "low": low, "high": high, "p": found.p}
    return {**told, "items_only": found.items_only, "n": found.n}
