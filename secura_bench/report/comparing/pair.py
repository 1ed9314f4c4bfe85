"""Two methods of one study beside one another, by one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from secura_bench.foundation.errors import BenchError
from secura_bench.report.comparing.takes import Takes
from secura_bench.report.statistics import Comparison
from secura_bench.report.study.arms import sequence_name
from secura_bench.report.study.cells import Cell, ScoreKey
from secura_bench.report.study.choosing import check_names, find_methods, one_method
from secura_bench.report.study.contrast import contrast_of
from secura_bench.report.study.placing import Placing, learned_by, placings
from secura_bench.report.study.protocols import Metric, Protocol
from secura_bench.report.study.ranking import ALPHA
from secura_bench.report.study.speaking import speaking
from secura_bench.report.study.study import Study
from secura_bench.report.tables.general import protocol_of

Told = Literal["more", "less", "open", "one seed", "untested"]
MARGIN = 2.0
"""Within how many points two methods count as equal, if nothing else is asked for."""


@dataclass(frozen=True)
class Side:
    """One score of both methods: what they learned, or what they kept.

    Attributes:
        one: the first method's. other: the second's.
        comparison: one − other in ``unit``, on the same items; None where they are too few, or not recorded.
        equal: p of the two one-sided tests that the difference lies within ±``margin``; None as above.
        takes: what it takes to tell ``margin``, or to show it; None as above.
        among: how many methods the study has, of which these are two.
    """

    what: Literal["learned", "kept"]
    one: Cell
    other: Cell
    comparison: Comparison | None
    equal: float | None
    takes: Takes | None
    margin: float
    unit: str
    among: int

    @property
    def missing(self) -> bool:
        """Whether one of the methods has no such score."""
        return self.one.missing or self.other.missing

    @property
    def told(self) -> Told:
        """What the test says: ``open`` is not told apart, and of ``one seed`` nothing follows for the methods."""
        if self.comparison is None:
            return "untested"
        if self.comparison.items_only:
            return "one seed"
        if self.comparison.p >= ALPHA:
            return "open"
        return "more" if self.comparison.difference > 0 else "less"

    @property
    def within(self) -> bool:
        """Whether the two are shown to be equal within the margin."""
        return self.equal is not None and self.equal < ALPHA and self.told not in ("one seed", "untested")

    @property
    def unanswered(self) -> bool:
        """Whether the two are neither told apart nor shown to be equal, by tests that could have done it."""
        return self.told == "open" and not self.within


@dataclass(frozen=True)
class Pair:
    """Two methods of a study by one protocol, on the task sequences that both were trained on.

    Attributes:
        study: these two alone.
        unshared: what one of them alone was trained on, which is left out.
        metric: by which they are told of. instead: why that is not the protocol's main one, "" if it is.
        by: the protocol and the metric by which they tell what was learned: another where this one scores no task.
        parts: in mode separate, the same for each task by itself.
    """

    study: Study
    protocol: Protocol
    metric: Metric
    instead: str
    by: tuple[Protocol, Metric]
    one: Placing
    other: Placing
    learned: Side
    kept: Side
    unshared: tuple[str, ...] = ()
    parts: tuple[Pair, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that both were trained on, in order."""
        return tuple(dict.fromkeys(task for sequence in self.study.sequences for task in sequence))

    @property
    def told_by(self) -> str:
        """By what learning is told, "" where it is by the same as what was kept."""
        protocol, metric = self.by
        return "" if protocol.id == self.protocol.id else f"{protocol.heading} {metric.heading}"

    @property
    def in_percent(self) -> bool:
        """Whether what they kept is in percent of the base's score, and not the score on the probe itself."""
        return not (self.one.retention.missing or self.other.retention.missing)

    @property
    def learning(self) -> Literal["equal", "not equal", "not shown to be equal", "not scored"]:
        """Whether what they kept is compared at equal learning."""
        if self.learned.missing:
            return "not scored"
        if self.learned.within:
            return "equal"
        return "not equal" if self.learned.told in ("more", "less") else "not shown to be equal"


def pairs(studies: Sequence[Study], one: str, other: str, margin: float = MARGIN) -> list[Pair]:
    """Return two methods beside one another, by each protocol of each study that has both.

    ``margin`` is in points of the metric for what was learned, in percent points of the base's score for what was kept.

    Raises:
        BenchError: A name is unknown, means several settings of one label, or both mean the same.
    """
    check_names(studies, [one, other], "")
    if "base" in (one, other):
        raise BenchError("base: is what both methods are held against; name two that were trained.")
    found: list[Pair] = []
    for study in studies:
        if not (find_methods(study, one) and find_methods(study, other)):
            continue
        names = (one_method(study, one, "") or "", one_method(study, other, "") or "")
        if names[0] == names[1]:
            raise BenchError(f"{one} and {other} are the same method of {study.experiment}: {names[0]}.")
        both = [pair_of(study, protocol, names, margin) for protocol in study.protocols]
        found += [replace(pair, parts=_parts(study, pair, names)) for pair in both if pair]
    return found


def pair_of(study: Study, protocol: str, names: tuple[str, str], margin: float = MARGIN) -> Pair | None:
    """Return two methods, as the study calls them, by one protocol; None where they have no score of it in common."""
    shared = [tasks for tasks in study.sequences if all(study.arm(name, tasks) for name in names)]
    found = _pair(study, protocol_of(protocol), names, shared, margin) if shared else None
    alone = (tasks for tasks in study.sequences if any(study.arm(name, tasks) for name in names))
    return found and replace(found, unshared=tuple(sequence_name(tasks) for tasks in alone if tasks not in shared))


def _parts(study: Study, whole: Pair, names: tuple[str, str]) -> tuple[Pair, ...]:
    """Return the same for each task by itself, where each was trained alone and there are several."""
    alone = whole.study.sequences if study.mode == "separate" and len(whole.study.sequences) > 1 else ()
    found = (_pair(study, whole.protocol, names, [tasks], whole.kept.margin) for tasks in alone)
    return tuple(part for part in found if part)


def _pair(
    study: Study, protocol: Protocol, names: tuple[str, str], sequences: Sequence[tuple[str, ...]], margin: float
) -> Pair | None:
    arms = (study.arm(name, tasks) for name in names for tasks in sequences)
    alone = replace(study, arms=tuple(arm for arm in arms if arm))
    metric, instead = speaking(alone, protocol)
    learning, told = learned_by(alone, protocol)
    among = len(study.methods)
    found = {each.method: each for each in placings(alone, protocol.id, metric, (learning.id, told))}
    one, other = (found[name] for name in names)
    learned = Side(
        "learned", one.learned, other.learned,
        *_tests(alone, one, other, learning.id, told, "learned", margin), margin, f"points of {told.heading}", among,
    )  # fmt: skip
    in_percent = not (one.retention.missing or other.retention.missing)
    base = ScoreKey(alone.base, protocol.id, metric.id, "probe", alone.probe_name, "end") if alone.base else None
    held = (one.retention, other.retention) if in_percent else (one.probe, other.probe)
    tests = _tests(alone, one, other, protocol.id, metric, "probe", margin, base if in_percent else None)
    points = f"points of {metric.heading}" if metric.percent else f"% of {metric.heading}"
    unit = "percent points" if in_percent else points
    kept = Side("kept", held[0], held[1], *tests, margin, unit, among)
    if kept.missing and (learned.missing or learning.id != protocol.id):
        return None
    return Pair(alone, protocol, metric, instead, (learning, told), one, other, learned, kept)


def _tests(
    study: Study,
    one: Placing,
    other: Placing,
    protocol: str,
    metric: Metric,
    what: Literal["learned", "probe"],
    margin: float,
    base: ScoreKey | None = None,
) -> tuple[Comparison | None, float | None, Takes | None]:
    """Return one − other, p of their being equal within ``margin``, and what that takes.

    In points of the metric, or in percent of the ``base`` model's score.
    """
    mine, theirs = (study.score_keys(each.arms, protocol, metric.id, what) for each in (one, other))
    contrast = contrast_of(mine, theirs, base)
    found = contrast.compare() if contrast else None
    if contrast is None or found is None:
        return None, None, None
    components = contrast.components
    return found, contrast.equal(margin), Takes(components, margin, contrast.scale) if components else None
