"""What a spec's seeds and rows would tell of its methods, by records of the same methods on the same tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from secura_bench.report import statistics
from secura_bench.report.comparing.pair import Pair, Side, pair_of
from secura_bench.report.comparing.takes import Takes
from secura_bench.report.study.choosing import labelled
from secura_bench.report.study.study import Study
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.method import MethodSpec

RowsOf = Mapping[str, Mapping[str, int]]
"""How many rows of a task, or of the probe, a protocol will score."""


@dataclass(frozen=True)
class Foreseen:
    """One score of two methods of a spec, as records of both foretell it.

    Attributes:
        one, other: the methods' labels in the spec. pair: what the records say. side: what was learned, or kept.
        takes: what a difference takes, on the planned rows. seeds: of either method, as planned.
    """

    one: str
    other: str
    pair: Pair
    side: Side
    takes: Takes
    seeds: int

    @property
    def smallest(self) -> float:
        """The smallest difference in the side's unit that is told in most experiments; infinite where none is."""
        return self.takes.scale * statistics.smallest_told(self.takes.components, self.seeds)

    @property
    def smallest_at_least(self) -> float:
        """What it is more than, where nothing is known of seeds."""
        return self.takes.scale * statistics.smallest_at_least(self.takes.components, self.seeds)


def foresee(
    spec: ExperimentSpec, model: str, studies: Sequence[Study], rows: RowsOf, points: float
) -> tuple[list[Foreseen], list[tuple[str, str]]]:
    """Return each method of ``spec`` beside the first, by each protocol, and pairs of which there are no records.

    ``model`` is the spec's label; of it are the records, or of another model where it has none. ``points`` is the
    difference that is to be told. Where ``rows`` lacks a number it is the records'.
    """
    methods = [method for method in spec.methods if not (method.is_base or method.is_checkpoint)]
    found: list[Foreseen] = []
    without: list[tuple[str, str]] = []
    for other in methods[1:]:
        first = methods[0]
        mine = [
            each
            for protocol in spec.protocols
            if (pair := _best(spec, model, studies, (other, first), protocol, points))
            for each in _sides(spec, other.label, first.label, pair, rows)
        ]
        found += mine
        without += [] if mine else [(other.label, first.label)]
    return found, without


def _best(
    spec: ExperimentSpec,
    model: str,
    studies: Sequence[Study],
    methods: tuple[MethodSpec, MethodSpec],
    protocol: str,
    points: float,
) -> Pair | None:
    """Return the pair that tells most of the two: of the spec's model, of several seeds, of most tasks and seeds."""
    sequences = {tasks for method in methods for tasks in spec.sequences(method).values()}
    pairs = []
    for study in studies:
        if study.mode != spec.mode or study.probe_name != spec.probe_name or protocol not in study.protocols:
            continue
        alone = replace(study, arms=tuple(arm for arm in study.arms if arm.sequence in sequences))
        names = [labelled(alone, method.label) for method in methods]
        if len(names[0]) == len(names[1]) == 1 and names[0] != names[1]:
            pairs.append(pair_of(alone, protocol, (names[0][0], names[1][0]), points))

    def told(pair: Pair) -> tuple[bool, bool, int, int]:
        seeds = [len(arm.runs) for each in (pair.one, pair.other) for arm in each.arms]
        return pair.study.model == model, min(seeds) > 1, len(pair.study.sequences), min(seeds)

    return max(filter(None, pairs), key=told, default=None)


def _sides(spec: ExperimentSpec, one: str, other: str, pair: Pair, rows: RowsOf) -> Iterator[Foreseen]:
    for side in (pair.learned, pair.kept):
        elsewhere = side.what == "learned" and pair.told_by  # the other protocol's pair has it
        if side.missing or side.takes is None or elsewhere:
            continue
        there = side.takes.components
        counts = {name: rows.get(name, {}).get(pair.protocol.id) or each.n for name, each in there.rows.items()}
        yield Foreseen(one, other, pair, side, replace(side.takes, components=there.on(counts)), len(spec.seeds))
