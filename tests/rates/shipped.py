"""What the shipped code says of a study, as outcomes; the one place that knows its names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from counts import Aim, Outcome
from worlds import Kind

from secura_bench.report import statistics
from secura_bench.report.study import placing, ranking
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import Cell, sample_of
from secura_bench.report.study.protocols import metric as known
from secura_bench.report.study.study import Study

ALPHA = 0.05


def covered(what: str, cell: Cell, truth: float) -> Outcome:
    """Return whether a cell's interval holds the truth; None where it says why there is none."""
    hit = None if cell.interval is None else truth in cell.interval
    return Outcome(what, "coverage", hit, cell.items_only)


def published(what: str, cell: Cell, number: float) -> Outcome:
    """Return whether a number that another run of the same truth gave would be called higher or lower."""
    return Outcome(what, "error", None if cell.predicted is None else number not in cell.predicted)


def compared(name: str, found: statistics.Comparison | None, gap: float) -> Iterator[Outcome]:
    """Yield whether a difference's interval holds the true ``gap``, and whether it was told apart."""
    only = found is not None and found.items_only
    interval = None if found is None else found.interval
    yield Outcome(f"{name}: interval", "coverage", None if interval is None else gap in interval, only)
    told = None if found is None or found.p is None else found.p < ALPHA
    yield Outcome(f"{name}: told apart", "error" if gap == 0 else "power", told, only)


def equivalent(what: str, study: Study, one: Arm, other: Arm, kind: Kind, margin: float, aim: Aim) -> list[Outcome]:
    """Return whether two methods' probes were called equivalent at ``margin``."""
    samples = [sample_of(study.score_keys([arm], kind.protocol, kind.metric, "probe")) for arm in (one, other)]
    p = statistics.equivalence(*samples, margin) if all(samples) else None  # type: ignore[arg-type]
    only = any(sample.items_only for sample in samples if sample)
    return [Outcome(what, aim, None if p is None else p < ALPHA, only)]


def starred(name: str, found: ranking.Ranking, best: str | None) -> Iterator[Outcome]:
    """Yield whether any method lost its star though all are equal (``best`` None), or the true best did."""
    worse = {method for method, each in found.compared.items() if each.verdict == "worse"}
    if best is None:
        yield Outcome(f"{name}: any unstarred", "error", bool(worse))
    else:
        yield Outcome(f"{name}: true best unstarred", "error", best in worse)
        yield Outcome(f"{name}: all others unstarred", "power", len(worse) == len(found.compared) - 1 > 0)


def led(name: str, study: Study, kind: Kind, what: Any, equal: bool) -> Iterator[Outcome]:
    """Yield whether the headline calls any method behind."""
    metric = known(kind.metric)
    lead = placing.lead(study, placing.placings(study, kind.protocol, metric), kind.protocol, metric, what)
    behind = bool(lead and lead.behind)
    yield Outcome(f"{name}: any behind", "error" if equal else "power", behind)


@dataclass(frozen=True)
class Measures:
    """The numbers of one study of methods."""

    study: Study
    kind: Kind

    def probe(self, arms: Sequence[Arm]) -> Cell:
        """Return the probe's score, mean over a method's arms."""
        if len(arms) == 1:
            return self.study.probe(arms[0], self.kind.protocol, self.kind.metric)
        return ranking.mean_cell(self.study.score_keys(arms, self.kind.protocol, self.kind.metric, "probe"))

    def kept(self, arms: Sequence[Arm]) -> Cell:
        """Return the retention, mean over a method's arms."""
        return self.study.mean_retention(arms, self.kind.protocol, self.kind.metric)

    def compare(self, one: Sequence[Arm], other: Sequence[Arm]) -> statistics.Comparison | None:
        """Return the difference of two methods' probes."""
        keys = [self.study.score_keys(arms, self.kind.protocol, self.kind.metric, "probe") for arms in (one, other)]
        return ranking.compare(*keys)

    def ranked(self, means: bool) -> ranking.Ranking:
        """Return the ranking on the probe, of single arms or of means over sequences."""
        if means:
            return ranking.rank_means(self.study, self.kind.protocol, self.kind.metric, "probe")
        return ranking.rank(self.study, self.study.arms, self.kind.protocol, self.kind.metric, "probe")
