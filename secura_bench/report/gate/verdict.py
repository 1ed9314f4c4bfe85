"""Whether a requirement holds: by where the whole interval lies, not the number in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from secura_bench.foundation.errors import BenchError
from secura_bench.report.gate.requirement import Requirement
from secura_bench.report.statistics import POWER, Interval
from secura_bench.report.study.arms import Arm, sequence_name
from secura_bench.report.study.cells import Cell, ScoreKey, one_seed
from secura_bench.report.study.choosing import check_names, one_method
from secura_bench.report.study.contrast import compare
from secura_bench.report.study.protocols import Metric, Protocol
from secura_bench.report.study.protocols import metric as known
from secura_bench.report.study.study import Study
from secura_bench.report.tables.general import protocol_of

_WORTH_NAMING = 1_000_000


@dataclass(frozen=True)
class Verdict:
    """What was measured of one method on one task sequence, beside one requirement.

    Attributes:
        holds: True and False where the interval lies on one side of the bound, None where it cannot be told.
        value: the score less the bound's. interval: its 95 % interval, None where ``why`` says why there is none.
        n: rows behind it. rows: how many would likely tell (with ``POWER``), None where no number is known.
        items_only: a method behind it was trained under one seed, so this is of these runs alone.
    """

    requirement: Requirement
    study: Study
    arm: Arm
    protocol: Protocol
    metric: Metric
    holds: bool | None
    value: float
    interval: Interval | None
    unit: str
    n: int
    rows: int | None
    items_only: bool
    why: str

    @property
    def of(self) -> str:
        """What it is of, in words."""
        return f"{self.arm.method} on {sequence_name(self.arm.sequence)} · {self.protocol.heading}"


def verdicts(studies: Sequence[Study], required: Sequence[Requirement]) -> list[Verdict]:
    """Return a verdict a requirement, method, task sequence and protocol; each of them must hold.

    Raises:
        BenchError: There is no method, or a requirement names a method or a metric that is not there.
    """
    check_names(studies, [each.of for each in required if each.of], "--require ")
    if not any(study.arms for study in studies):
        raise BenchError("--require: there is no method here of which anything could be required; only the base.")
    found = []
    for each in required:
        judged = [verdict for study in studies for verdict in _of_study(study, each)]
        if not judged:
            by = f" by {each.metric}" if each.metric else ""
            raise BenchError(f"--require {each.text!r}: nothing here was scored{by} that it could be held against.")
        found += judged
    return found


def _of_study(study: Study, required: Requirement) -> Iterator[Verdict]:
    other = one_method(study, required.of, "--require ") if required.of else None
    if required.of and other is None:
        return
    for protocol in map(protocol_of, study.protocols):
        if required.metric and required.metric not in {*protocol.metrics, *protocol.learned}:
            continue
        metric = known(required.metric) if required.metric else protocol.main
        for arm in study.arms:
            if arm.method != other:
                yield _verdict(study, required, protocol, metric, arm, other)


def _verdict(
    study: Study, required: Requirement, protocol: Protocol, metric: Metric, arm: Arm, other: str | None
) -> Verdict:
    own = (study.retention if required.what == "kept" else study.learned)(arm, protocol.id, metric.id)
    percent = "percent points" if other else "%"
    unit = percent if required.what == "kept" else f"points of {metric.heading}"
    if other is None:
        keys = study.score_keys([arm], protocol.id, metric.id, "learned" if required.what == "learned" else "probe")
        value, interval, once, why = own.value, own.interval, one_seed(keys), own.why
    else:
        value, interval, once, why = _against(study, required, protocol, metric, arm, other, own)
    gap = required.sign * (value - required.bound)
    ends = _less(interval, required) if interval else None
    holds = None if ends is None else True if ends.low >= 0 else False if ends.high < 0 else None
    rows = rows_that_tell(gap, ends, own.n) if ends and holds is None and once else None
    return Verdict(
        required, study, arm, protocol, metric, holds, value, interval, unit, own.n, rows, once,
        "" if interval else why or "not scored",
    )  # fmt: skip


def _against(
    study: Study, required: Requirement, protocol: Protocol, metric: Metric, arm: Arm, other: str, own: Cell
) -> tuple[float, Interval | None, bool, str]:
    """Return one method's score less another's on the same items: value, interval, whether of one seed, why none."""
    beside = study.arm(other, arm.sequence)
    if beside is None:
        return math.nan, None, False, f"{other} has no run on {sequence_name(arm.sequence)}"
    mine = study.score_keys([arm], protocol.id, metric.id, "learned" if required.what == "learned" else "probe")
    theirs = [ScoreKey(beside, key.protocol, key.metric, key.role, key.task, key.at) for key in mine]
    if required.what == "learned":
        found, sign = compare(mine, theirs), 1 if metric.percent else -1  # of which less is better
    else:
        base = ScoreKey(study.base, protocol.id, metric.id, "probe", study.probe_name, "end") if study.base else None
        scores = study.probe(study.base, protocol.id, metric.id).value > 0
        found, sign = compare(mine, theirs, base) if scores else None, 1
    if found is None:
        return math.nan, None, False, own.why or "too few items that both were scored on, or they are not recorded"
    low, high = sorted((sign * found.interval.low, sign * found.interval.high))
    return sign * found.difference, Interval(low, high), found.items_only, ""


def _less(interval: Interval, required: Requirement) -> Interval:
    """Return the interval of how far the score lies on the right side of the bound."""
    ends = (required.sign * (interval.low - required.bound), required.sign * (interval.high - required.bound))
    return Interval(min(ends), max(ends))


def rows_that_tell(gap: float, interval: Interval, n: int) -> int | None:
    """Return how many rows would tell a ``gap`` from 0 with ``POWER``, were it what was measured on ``n`` rows.

    The standard error, taken from the 95 % interval, falls with the square root of the rows; a gap is told with power
    1 − β where it is z(0.975) + z(1 − β) standard errors (Cohen 1988, chapter 2). None where it is 0, or where so
    many rows are not worth naming.
    """
    wanted = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(POWER)
    error = (interval.high - interval.low) / (2 * NormalDist().inv_cdf(0.975))
    if gap == 0 or error == 0:
        return None
    rows = max(n + 1, math.ceil(n * (wanted * error / gap) ** 2))
    return rows if rows <= _WORTH_NAMING else None
