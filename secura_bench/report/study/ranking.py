"""Which methods are the best, as far as the items and the seeds can tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from secura_bench.report.statistics import LEVEL, Comparison, holm, told_from_best
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import Cell, ScoreKey, mean_cell
from secura_bench.report.study.contrast import compare, items_of
from secura_bench.report.study.protocols import metric as known
from secura_bench.report.study.study import Study

ALPHA = 1 - LEVEL
Verdict = Literal["best", "reference", "better", "worse", "not told apart", "one seed", "n too small to tell"]


@dataclass(frozen=True)
class Compared:
    """A method beside the best: the comparison, its p over all methods at once, and what follows from it.

    Of a method with one seed, or beside a best with one, nothing follows: the comparison is of these runs' items only.
    """

    comparison: Comparison | None
    adjusted: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Ranking:
    """Methods beside the best of them, by label; empty where nothing can be compared item by item.

    ``best`` is the best of those with several seeds, of one seed each the one that scores best.
    """

    best: str = ""
    compared: dict[str, Compared] = field(default_factory=dict)

    def tied(self, method: str) -> bool:
        """Whether a method is the best or not told apart from it."""
        return method in self.compared and self.compared[method].verdict in ("best", "not told apart")


def rank(study: Study, arms: Sequence[Arm], protocol: str, metric: str, what: Literal["probe", "learned"]) -> Ranking:
    """Compare each of ``arms`` with the best of them on the same items."""
    return rank_keys({arm.method: study.score_keys([arm], protocol, metric, what) for arm in arms}, metric)


def rank_means(study: Study, protocol: str, metric: str, what: Literal["probe", "learned"]) -> Ranking:
    """Compare each method's mean over the tasks of a separate experiment with the best, of those that have them all."""
    everywhere = {
        method: arms
        for method in study.methods
        if None not in (arms := [study.arm(method, sequence) for sequence in study.sequences])
    }
    return rank_keys(
        {
            method: study.score_keys([a for a in arms if a], protocol, metric, what)
            for method, arms in everywhere.items()
        },
        metric,
    )


def rank_keys(keys: Mapping[str, Sequence[ScoreKey]], metric: str) -> Ranking:
    """Compare each method's mean over its ``keys`` with the best of them.

    Methods with several seeds are ranked among themselves; beside their best, one seed is compared and not judged.
    """
    cells = {method: cell for method, mine in keys.items() if not (cell := mean_cell(mine)).missing}
    if len(cells) < 2:
        return Ranking()
    sign = 1 if known(metric).percent else -1
    several = [method for method, cell in cells.items() if not cell.items_only]
    best = max(several or cells, key=lambda method: sign * cells[method].value)
    comparisons = {method: compare(keys[method], keys[best]) for method in cells if method != best}
    if not any(comparisons.values()):
        return Ranking()
    adjusted = _adjusted({method: keys[method] for method in several}, sign)
    judged = {
        method: _judged(comparison, adjusted.get(method), cells[method], cells[best])
        for method, comparison in comparisons.items()
    }
    alone = Compared(None, None, "one seed" if cells[best].items_only else "best")
    return Ranking(best, {best: alone} | judged)


def beside(keys: Mapping[str, Sequence[ScoreKey]], reference: str, metric: str) -> Ranking:
    """Compare each method with the ``reference``, whatever is the best; ``Ranking.best`` is the reference then.

    p are adjusted over the methods that are judged (Holm 1979).
    """
    cells = {method: cell for method, mine in keys.items() if not (cell := mean_cell(mine)).missing}
    if reference not in cells:
        return Ranking()
    comparisons = {method: compare(keys[method], keys[reference]) for method in cells if method != reference}
    tested = {m: found.p for m, found in comparisons.items() if found and not found.items_only}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    found = {reference: Compared(None, None, "reference")}
    for method, comparison in comparisons.items():
        judged = _judged(comparison, adjusted.get(method), cells[method], cells[reference])
        more = comparison is not None and comparison.difference > 0
        better = judged.verdict == "worse" and more == known(metric).percent
        found[method] = replace(judged, verdict="better") if better else judged
    return Ranking(reference, found) if any(comparisons.values()) else Ranking()


def _adjusted(keys: Mapping[str, Sequence[ScoreKey]], sign: int) -> dict[str, float]:
    """Return each method's p of being told from the best, over all methods at once; none where items are too few."""
    samples = {method: sample for method, mine in keys.items() if (sample := items_of(mine))}
    found = told_from_best(list(samples.values()), sign) if len(samples) > 1 else None
    return dict(zip(samples, found, strict=True)) if found else {}


def _judged(comparison: Comparison | None, adjusted: float | None, mine: Cell, best: Cell) -> Compared:
    if comparison is None:
        return Compared(None, None, "n too small to tell")
    if mine.items_only or best.items_only or comparison.items_only:
        return Compared(comparison, None, "one seed")
    if adjusted is None or comparison.least >= ALPHA:
        return Compared(comparison, None, "n too small to tell")
    p = max(adjusted, comparison.p)
    return Compared(comparison, p, "worse" if p < ALPHA else "not told apart")
