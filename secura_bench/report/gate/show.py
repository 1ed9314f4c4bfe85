"""Verdicts for the eye, a line each, and the exit status that they come to."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.foundation.wording import about
from secura_bench.report.gate.verdict import Verdict

WRONG, NOT_TOLD = 4, 5
"""Exit status where a requirement does not hold, and where it cannot be told; 0 where all hold."""
_WORDS = {True: "holds", False: "does not hold", None: "cannot be told"}


def status_of(found: Sequence[Verdict]) -> int:
    """Return the exit status: the wrong ones go before those that cannot be told."""
    holds = {verdict.holds for verdict in found}
    return WRONG if False in holds else NOT_TOLD if None in holds else 0


def line_of(verdict: Verdict) -> str:
    """Return a verdict as a line: what was required, whether it holds, and the numbers that say so."""
    return f"{_WORDS[verdict.holds]}: {verdict.requirement.text}: {verdict.of}: {_measured(verdict)}"


def _measured(verdict: Verdict) -> str:
    required, interval = verdict.requirement, verdict.interval
    if interval is None:
        return verdict.why
    value, low, high = verdict.value, interval.low, interval.high
    beside = ""
    if required.of:  # told as above or below, so that no sign has to be read
        beside = f" {'above' if value >= 0 else 'below'} {required.of}'s"
        value, low, high = (value, low, high) if value >= 0 else (-value, -high, -low)
    once = "; of these runs alone, one seed" if verdict.items_only and verdict.arm.name != "checkpoint" else ""
    said = f"{value:.1f} {verdict.unit}{beside} ({low:.1f} to {high:.1f}{once}), {verdict.n} rows"
    if verdict.holds is not None:
        return said
    if not verdict.items_only:
        return f"{said}; more seeds and rows would tell"
    if verdict.rows is None:
        return f"{said}; no number of rows is likely to tell: it lies on the bound"
    return f"{said}; about {about(verdict.rows)} would likely tell"
