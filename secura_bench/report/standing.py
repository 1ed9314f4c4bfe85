"""Where each method stands: what it learned beside what it kept, over all its tasks, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from secura_bench.report import statistics
from secura_bench.report.metrics import PROTOCOLS, Metric, Protocol
from secura_bench.report.study import Arm, Cell, Spot, Study, mean_cell, sample_of

Answer = Literal["yes", "no", "worse", "unsure"]


@dataclass(frozen=True)
class Standing:
    """One method under one protocol, a mean over its arms (in mode ``separate`` it has one a task).

    Attributes:
        learned: the main metric right after training each task. before: the base model's on the same tasks.
        gain: learned less before, on the same items, with its interval; missing where the base was not scored there.
        retention: the probe's score at the end as percent of the base's.
        did_learn: whether the gain's interval lies above zero (no: it holds zero; worse: below; unsure: no interval).
        did_forget: whether the retention's interval lies below 100 % (worse: above, the probe improved).
    """

    method: str
    arms: tuple[Arm, ...]
    learned: Cell
    before: Cell
    gain: Cell
    retention: Cell
    probe: Cell
    did_learn: Answer
    did_forget: Answer


@dataclass(frozen=True)
class Lead:
    """Who is ahead: ``tied`` methods (the best first) are not told apart by the noise; ``behind`` are.

    ``unsure`` could not be compared with the best on the same items. ``margin``: the best less the next, ``next``.
    ``few``: these items could not have told all methods apart, however the scores had fallen.
    """

    tied: tuple[str, ...]
    behind: tuple[str, ...]
    unsure: tuple[str, ...]
    next: str | None = None
    margin: statistics.Comparison | None = None
    few: bool = False

    @property
    def winner(self) -> str | None:
        """The one method that is ahead of all others, None where there is none."""
        return self.tied[0] if len(self.tied) == 1 and self.behind and not self.unsure else None


def told(study: Study) -> Iterator[tuple[Protocol, list[Standing]]]:
    """Yield, by protocol, the standings that tell both what was learned and what was kept, if there are any."""
    for name in study.protocols:
        if protocol := PROTOCOLS.get(name):
            both = [s for s in standings(study, name, protocol.main) if not (s.learned.missing or s.retention.missing)]
            if both:
                yield protocol, both


def standings(study: Study, protocol: str, metric: Metric) -> list[Standing]:
    """Return every method's standing, in the study's order."""
    return [_standing(study, method, protocol, metric) for method in study.methods]


def _standing(study: Study, method: str, protocol: str, metric: Metric) -> Standing:
    arms = tuple(arm for arm in study.arms if arm.method == method)
    mine = [Spot(arm, protocol, metric.id, "task", task, "learned") for arm in arms for task in arm.sequence]
    base = study.base
    theirs = [Spot(base, protocol, metric.id, "task", spot.task, "end") for spot in mine] if base else []
    learned = mean_cell(mine)
    before = mean_cell(theirs) if theirs else Cell(spread="no record of the base model")
    gain = _gain(learned, before, mine, theirs)
    kept = study.mean_retention(arms, protocol, metric.id)
    return Standing(
        method=method,
        arms=arms,
        learned=learned,
        before=before,
        gain=gain,
        retention=kept,
        probe=mean_cell(_probe(study, arms, protocol, metric)),
        did_learn=_sign(gain, 0.0, metric.percent),
        did_forget=_sign(kept, 100.0, False),
    )


def lead(study: Study, found: Sequence[Standing], protocol: str, metric: Metric, what: str) -> Lead | None:
    """Return who is ahead in ``what`` (``learned`` or ``kept``), by paired tests against the best, Holm-corrected.

    None where nothing was measured.
    """
    measured = [each for each in found if not (each.learned if what == "learned" else each.probe).missing]
    if not measured:
        return None

    def key(each: Standing) -> float:
        return (each.learned if what == "learned" else each.probe).value

    best = (max if metric.percent else min)(measured, key=key)
    others = [each for each in measured if each is not best]
    tests = {each.method: _compare(study, best, each, protocol, metric, what) for each in others}
    tested = [(method, test) for method, test in tests.items() if test]
    adjusted = statistics.holm([test.p for _, test in tested])
    alpha = 1 - statistics.LEVEL
    behind = {method for (method, _), p in zip(tested, adjusted, strict=True) if p < alpha}
    ordered = sorted(others, key=key, reverse=metric.percent)
    return Lead(
        tied=(best.method, *(e.method for e in ordered if tests[e.method] and e.method not in behind)),
        behind=tuple(each.method for each in ordered if each.method in behind),
        unsure=tuple(each.method for each in ordered if tests[each.method] is None),
        next=ordered[0].method if ordered else None,
        margin=tests[ordered[0].method] if ordered else None,
        few=any(test.least * len(tested) >= alpha for _, test in tested),
    )


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the Pareto front, more being better in both, from left to right."""
    kept = []
    for i, (x, y) in enumerate(points):
        if not any((a >= x and b >= y) and (a > x or b > y) for a, b in points):
            kept.append(i)
    return sorted(kept, key=lambda i: points[i])


def _compare(
    study: Study, one: Standing, other: Standing, protocol: str, metric: Metric, what: str
) -> statistics.Comparison | None:
    pair = []
    for each in (one, other):
        if what == "learned":
            spots = [Spot(a, protocol, metric.id, "task", task, "learned") for a in each.arms for task in a.sequence]
        else:
            spots = _probe(study, each.arms, protocol, metric)
        pair.append(sample_of(spots))
    return statistics.compare(pair[0], pair[1]) if pair[0] and pair[1] else None


def _probe(study: Study, arms: Sequence[Arm], protocol: str, metric: Metric) -> list[Spot]:
    return [Spot(arm, protocol, metric.id, "probe", study.probe_name, "end") for arm in arms]


def _gain(learned: Cell, before: Cell, mine: Sequence[Spot], theirs: Sequence[Spot]) -> Cell:
    if learned.missing or before.missing:
        return Cell(spread=learned.why if learned.missing else before.why)
    value = learned.value - before.value
    samples = sample_of(mine), sample_of(theirs)
    test = statistics.compare(samples[0], samples[1]) if samples[0] and samples[1] else None
    if test is None:
        return Cell(value, "no interval", learned.n, learned.seeds)
    return Cell(value, test.interval, learned.n, learned.seeds)


def _sign(cell: Cell, line: float, more: bool) -> Answer:
    """Return whether a cell's interval lies beyond ``line``: above it if ``more``, else below."""
    if cell.missing or cell.interval is None:
        return "unsure"
    if line in cell.interval:
        return "no"
    return "yes" if (cell.low > line) == more else "worse"
