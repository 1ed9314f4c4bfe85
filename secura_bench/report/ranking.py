"""Which methods are the best, as far as the items can tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from secura_bench.report.metrics import metric as known
from secura_bench.report.statistics import LEVEL, Comparison, holm
from secura_bench.report.study import Arm, Cell, Spot, Study, compare, mean_cell

ALPHA = 1 - LEVEL
Verdict = Literal["best", "reference", "better", "worse", "not told apart", "n too small to tell"]


@dataclass(frozen=True)
class Compared:
    """A method beside the best: the comparison, its Holm-adjusted p, and what follows from it.

    ``few``: these items could not have told the two apart, however the scores had fallen.
    """

    comparison: Comparison | None
    adjusted: float | None
    verdict: Verdict
    few: bool = False


@dataclass(frozen=True)
class Ranking:
    """Methods beside the best of them, by label; empty where nothing can be compared item by item."""

    best: str = ""
    compared: dict[str, Compared] = field(default_factory=dict)

    def tied(self, method: str) -> bool:
        """Whether a method is the best or not told apart from it."""
        return method in self.compared and self.compared[method].verdict != "worse"


def rank(study: Study, arms: Sequence[Arm], protocol: str, metric: str, what: Literal["probe", "learned"]) -> Ranking:
    """Compare each of ``arms`` with the best of them on the same items."""
    measure = study.probe if what == "probe" else study.learned
    scored = {arm.method: measure(arm, protocol, metric) for arm in arms}
    return _rank(scored, {arm.method: study.spots([arm], protocol, metric, what) for arm in arms}, metric)


def rank_means(study: Study, protocol: str, metric: str, what: Literal["probe", "learned"]) -> Ranking:
    """Compare each method's mean over the tasks of a separate experiment with the best, of those that have them all."""
    everywhere = {
        method: arms
        for method in study.methods
        if None not in (arms := [study.arm(method, sequence) for sequence in study.sequences])
    }
    spots = {
        method: study.spots([arm for arm in arms if arm], protocol, metric, what) for method, arms in everywhere.items()
    }
    return _rank({method: mean_cell(mine) for method, mine in spots.items()}, spots, metric)


def _rank(cells: Mapping[str, Cell], spots: Mapping[str, Sequence[Spot]], metric: str) -> Ranking:
    scored = {method: cell.value for method, cell in cells.items() if not cell.missing}
    if len(scored) < 2:
        return Ranking()
    sign = 1 if known(metric).percent else -1
    best = max(scored, key=lambda method: sign * scored[method])
    others = [method for method in scored if method != best]
    comparisons = [compare(spots[method], spots[best]) for method in others]
    if not any(comparisons):
        return Ranking()
    compared = {best: Compared(None, None, "best")}
    compared |= dict(zip(others, judged(comparisons), strict=True))
    return Ranking(best, compared)


def beside(spots: Mapping[str, Sequence[Spot]], reference: str, metric: str) -> Ranking:
    """Compare each method with the ``reference``, whatever is the best; ``Ranking.best`` is the reference then."""
    others = [method for method in spots if method != reference]
    found = {reference: Compared(None, None, "reference")}
    for method, compared in zip(others, judged([compare(spots[m], spots[reference]) for m in others]), strict=True):
        more = compared.comparison is not None and compared.comparison.difference > 0
        better = compared.verdict == "worse" and more == known(metric).percent
        found[method] = replace(compared, verdict="better") if better else compared
    measured = any(compared.comparison for compared in found.values())
    return Ranking(reference, found) if measured else Ranking()


def judged(comparisons: Sequence[Comparison | None]) -> list[Compared]:
    """Return what follows from comparisons with one best, Holm-adjusted over those that could be made."""
    tested = [comparison.p for comparison in comparisons if comparison]
    adjusted = iter(holm(tested))
    found = []
    for comparison in comparisons:
        if comparison is None:
            found.append(Compared(None, None, "n too small to tell"))
            continue
        p, few = next(adjusted), comparison.least * len(tested) >= ALPHA
        verdict: Verdict = "worse" if p < ALPHA else "n too small to tell" if few else "not told apart"
        found.append(Compared(comparison, p, verdict, few))
    return found
