"""Where each method stands: what it learned beside what it kept, over all its tasks, and how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from secura_bench.report import statistics
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import Cell, ScoreKey, Spread, mean_cell
from secura_bench.report.study.contrast import compare
from secura_bench.report.study.protocols import PROTOCOLS, Metric, Protocol
from secura_bench.report.study.ranking import rank_keys
from secura_bench.report.study.speaking import speaking
from secura_bench.report.study.study import Study

Answer = Literal["yes", "no", "worse", "unsure"]
By = tuple[str, Metric]
"""A protocol by its name, and a metric."""


@dataclass(frozen=True)
class Placing:
    """One method under one protocol, a mean over its arms (in mode ``separate`` it has one a task).

    Attributes:
        learned: the main metric right after training each task. before: the base model's on the same tasks.
        gain: learned less before, on the same items, with its interval; missing where the base was not scored there.
        retention: the probe's score at the end as percent of the base's.
        more: whether more of the metric by which learning is told is better.
    """

    method: str
    arms: tuple[Arm, ...]
    learned: Cell
    before: Cell
    gain: Cell
    retention: Cell
    probe: Cell
    more: bool

    @property
    def did_learn(self) -> Answer:
        """Whether the gain's interval lies above zero (no: it holds zero; worse: below; unsure: no interval)."""
        return _sign(self.gain, 0.0, self.more)

    @property
    def did_forget(self) -> Answer:
        """Whether the retention's interval lies below 100 % (worse: above, the probe improved)."""
        return _sign(self.retention, 100.0, False)

    @property
    def placed(self) -> bool:
        """Whether both what was learned and what was kept were measured, so that it has a place beside the others."""
        return not (self.learned.missing or self.retention.missing)


@dataclass(frozen=True)
class Lead:
    """Who is ahead: ``tied`` methods (the best first) are not told apart by the noise; ``behind`` are.

    ``unsure`` could not be compared with the best on the same items. ``once`` were trained under one seed, or the best
    was, and are not judged. ``margin``: the best less the next, ``next``.
    """

    tied: tuple[str, ...]
    behind: tuple[str, ...]
    unsure: tuple[str, ...]
    once: tuple[str, ...] = ()
    next: str | None = None
    margin: statistics.Comparison | None = None

    @property
    def winner(self) -> str | None:
        """The one method that is ahead of all others, None where there is none."""
        return self.tied[0] if len(self.tied) == 1 and self.behind and not (self.unsure or self.once) else None


def placed(study: Study) -> Iterator[tuple[Protocol, Metric, list[Placing]]]:
    """Yield each known protocol under which methods have a place, the metric that speaks for it, and their placings."""
    for name in study.protocols:
        if protocol := PROTOCOLS.get(name):
            metric, _ = speaking(study, protocol)
            found = [each for each in placings(study, name, metric) if each.placed]
            if found:
                yield protocol, metric, found


def placings(
    study: Study, protocol: str, metric: Metric, by: By | None = None, among: Collection[str] | None = None
) -> list[Placing]:
    """Return every method's placing (or of those ``among`` them), in the study's order.

    What was learned is told ``by`` another protocol if said.
    """
    methods = [method for method in study.methods if among is None or method in among]
    return [_placing(study, method, protocol, metric, by or (protocol, metric)) for method in methods]


def learned_by(study: Study, protocol: Protocol) -> tuple[Protocol, Metric]:
    """Return by what is told what was learned beside what was kept by ``protocol``: by it too, where it can tell.

    Else, as for perplexity, by ``generate``, what a model writes by itself, or by the study's first that can.
    """
    ids = dict.fromkeys(
        (protocol.id, *("generate" for name in study.protocols if name == "generate"), *study.protocols)
    )
    for each in (PROTOCOLS[name] for name in ids if name in PROTOCOLS):
        metric, _ = speaking(study, each)
        if metric.percent and any(not study.learned(arm, each.id, metric.id).missing for arm in study.arms):
            return each, metric
    return protocol, speaking(study, protocol)[0]


def _placing(study: Study, method: str, protocol: str, metric: Metric, by: By) -> Placing:
    arms = tuple(arm for arm in study.arms if arm.method == method)
    mine = study.score_keys(arms, by[0], by[1].id, "learned")
    base = study.base
    theirs = [ScoreKey(base, by[0], by[1].id, "task", key.task, "end") for key in mine] if base else []
    learned = mean_cell(mine)
    before = mean_cell(theirs) if theirs else Cell(spread="no record of the base model")
    return Placing(
        method=method,
        arms=arms,
        learned=learned,
        before=before,
        gain=_gain(learned, before, mine, theirs),
        retention=study.mean_retention(arms, protocol, metric.id),
        probe=mean_cell(study.score_keys(arms, protocol, metric.id, "probe")),
        more=by[1].percent,
    )


def lead(
    study: Study, found: Sequence[Placing], protocol: str, metric: Metric, what: Literal["learned", "kept"]
) -> Lead | None:
    """Return who is ahead, over all tasks, by tests on the same items over all methods at once.

    None where nothing was measured.
    """
    side: Literal["learned", "probe"] = "learned" if what == "learned" else "probe"
    measured = {each.method: getattr(each, side).value for each in found if not getattr(each, side).missing}
    if not measured:
        return None
    keys = {each.method: study.score_keys(each.arms, protocol, metric.id, side) for each in found}
    ranking = rank_keys({method: keys[method] for method in measured}, metric.id)
    ordered = sorted(measured, key=lambda method: measured[method], reverse=metric.percent)
    best = ranking.best or ordered[0]
    others = [method for method in ordered if method != best]
    verdicts = {m: ranking.compared[m].verdict if m in ranking.compared else "n too small to tell" for m in ordered}
    return Lead(
        tied=(best, *(method for method in others if verdicts[method] == "not told apart")),
        behind=tuple(method for method in others if verdicts[method] == "worse"),
        unsure=tuple(method for method in others if verdicts[method] == "n too small to tell"),
        once=tuple(method for method in others if verdicts[method] == "one seed"),
        next=others[0] if others else None,
        margin=compare(keys[best], keys[others[0]]) if others else None,
    )


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the Pareto front, more being better in both, from left to right."""
    kept = []
    for i, (x, y) in enumerate(points):
        if not any((a >= x and b >= y) and (a > x or b > y) for a, b in points):
            kept.append(i)
    return sorted(kept, key=lambda i: points[i])


def _gain(learned: Cell, before: Cell, mine: Sequence[ScoreKey], theirs: Sequence[ScoreKey]) -> Cell:
    if learned.missing or before.missing:
        return Cell(spread=learned.why if learned.missing else before.why)

    def spread() -> Spread:
        test = compare(mine, theirs)
        return test.interval if test else "too few items, or they are not recorded"

    return Cell(learned.value - before.value, spread, learned.n, learned.seeds, items_only=learned.items_only)


def _sign(cell: Cell, line: float, more: bool) -> Answer:
    """Return whether a cell's interval lies beyond ``line``: above it if ``more``, else below."""
    if cell.missing or cell.interval is None:
        return "unsure"
    if line in cell.interval:
        return "no"
    return "yes" if (cell.low > line) == more else "worse"
