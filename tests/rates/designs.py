"""The designs that are simulated: each draws a data set of known truth, and yields what the reports say of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol
from zlib import crc32

import numpy as np
from counts import Counts, Outcome
from filed import PROBE, At, arm, study
from grids import GRIDS
from shipped import Measures, compared, covered, equivalent, led, published, starred
from worlds import BINARY, CONTINUOUS, GROUPED, Floats, Kind, Layout, Rng, Truth, World, single

from secura_bench.report.statistics import continual
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.contrast import compare
from secura_bench.report.study.study import Study

DRAWINGS = 8
"""Names of rows that take turns: each fixes its own resamples, of which no rate should hang on one."""


class Design(Protocol):
    """Something to simulate."""

    @property
    def name(self) -> str:
        """What stands in the table."""

    def draw(self, rng: Rng, drawing: int) -> Iterator[Outcome]:
        """Yield what the reports say of one data set."""


def simulate(design: Design, sets: int) -> Counts:
    """Return what came of ``sets`` data sets of a design, the same at every call."""
    counts = Counts()
    for number in range(sets):
        rng = np.random.default_rng([crc32(design.name.encode()), number])
        counts.add(design.draw(rng, number * DRAWINGS // sets))
    return counts


@dataclass(frozen=True)
class Methods:
    """Methods on one probe, after one task or after each of several (runs of their own); ``base`` is 70 if not said."""

    kind: Kind
    layout: Layout
    truths: tuple[Truth, ...]
    rows: str = ""
    tasks: int = 1
    base: float = 70.0
    margin: float = 2.0

    @property
    def name(self) -> str:
        """What stands in the table."""
        few = self.truths[:2] if len(self.truths) > 2 else self.truths
        seeds = " v ".join(str(truth.seeds) for truth in few)
        sds = sorted({truth.sd for truth in self.truths})
        means = sorted({truth.mean for truth in self.truths}, reverse=True)
        parts = [
            self.kind.name, self.rows or f"n {self.layout.n}", f"{len(self.truths)} methods", f"seeds {seeds}",
            f"sd {' and '.join(f'{sd:g}' for sd in sds)}",
        ]  # fmt: skip
        parts += [f"mean of {self.tasks} tasks"] if self.tasks > 1 else []
        parts += [f"true {' and '.join(f'{mean:g}' for mean in means)}"] if means != [60.0] else []
        return ", ".join(parts)

    def draw(self, rng: Rng, drawing: int) -> Iterator[Outcome]:
        """Yield what the reports say of one data set."""
        made, methods = self._study(rng, drawing)
        measures, names = Measures(made, self.kind), list(methods)
        means = [truth.mean for truth in self.truths]
        equal = len(set(means)) == 1
        first = (truth for truth in self.truths[:2] if truth.seeds == self.truths[0].seeds)
        for truth, arms in zip(first, methods.values(), strict=False):
            probe = measures.probe(arms)
            yield covered("score", probe, truth.mean)
            yield covered("kept", measures.kept(arms), 100 * truth.mean / self.base)
            yield published("published: higher or lower", probe, self._another(rng, truth))
        one, other = methods[names[0]], methods[names[1]]
        yield from compared("difference", measures.compare(one, other), means[0] - means[1])
        if self.tasks == 1 and len(self.truths) == 2:
            margin = abs(means[0] - means[1])
            if margin:
                yield from equivalent("equivalent at the margin", made, one[0], other[0], self.kind, margin, "error")
            else:
                what = f"equivalent at {self.margin:g} points"
                yield from equivalent(what, made, one[0], other[0], self.kind, self.margin, "power")
        best = None if equal else names[int(np.argmax(means))]
        yield from starred("star", measures.ranked(self.tasks > 1), best)
        if self.tasks > 1:
            yield from led("headline, kept", made, self.kind, "kept", equal)
            yield from led("headline, learned", made, self.kind, "learned", True)

    def _study(self, rng: Rng, drawing: int) -> tuple[Study, dict[str, list[Arm]]]:
        """Return a data set as a study, and its arms by method; what was learned is drawn where means of it are led."""
        column, rows, probe = self.kind.metric, single(60), f"{PROBE}{drawing}"
        world = World(self.kind, self.layout, rng)
        names = [f"task {i}, {drawing}" for i in range(self.tasks)]
        worlds = [World(self.kind, rows, rng) for _ in names] if self.tasks > 1 else []
        layouts = {probe: self.layout, **dict.fromkeys(names, rows)}
        untouched = {At("probe", probe, None): {column: world.base(self.base)}}
        untouched |= {
            At("task", name, None): {column: own.base(30.0)} for name, own in zip(names, worlds, strict=False)
        }
        base = arm("base", tuple(names), untouched, layouts, self.kind)
        methods: dict[str, list[Arm]] = {}
        for number, truth in enumerate(self.truths):
            method, shared = f"method {number}", self.layout.noise(rng)
            for i, name in enumerate(names):
                taste = np.sqrt(1 / 2) * (shared + self.layout.noise(rng))
                filed = {At("probe", probe, name): {column: world.runs(truth, taste)}}
                if worlds:
                    filed[At("task", name, name)] = {column: worlds[i].runs(replace(truth, mean=50.0))}
                methods.setdefault(method, []).append(arm(method, (name,), filed, layouts, self.kind))
        made = study(base, [arm for arms in methods.values() for arm in arms])
        return replace(made, probe_name=probe), methods

    def _another(self, rng: Rng, truth: Truth) -> float:
        """Return what one more run of a method scores on as many other rows."""
        world = World(self.kind, self.layout, rng)
        shared = self.layout.noise(rng)
        runs = [
            world.runs(replace(truth, seeds=1), np.sqrt(1 / 2) * (shared + self.layout.noise(rng)))
            for _ in range(self.tasks)
        ]
        return float(np.mean(runs))


@dataclass(frozen=True)
class Sequence:
    """One method on a sequence of four tasks, each scored after every task; ``falls``: earlier ones are forgotten."""

    kind: Kind
    n: int
    sd: float
    seeds: int
    falls: bool

    @property
    def name(self) -> str:
        """What stands in the table."""
        what = "forgetting" if self.falls else "nothing forgotten"
        return f"{self.kind.name}, n {self.n}, sequence of 4, seeds {self.seeds}, sd {self.sd:g}, {what}"

    @property
    def truth(self) -> Floats:
        """The true accuracy matrix."""
        steps = np.subtract.outer(np.arange(4), np.arange(4))
        return np.where(steps < 0, 30.0, 80.0 - (10.0 * steps if self.falls else 0.0))

    def draw(self, rng: Rng, drawing: int) -> Iterator[Outcome]:
        """Yield what the reports say of one data set."""
        tasks = tuple(f"task {i}, {drawing}" for i in range(4))
        rows, column = single(self.n), self.kind.metric
        layouts, truth = dict.fromkeys(tasks, rows), self.truth
        base, filed = {}, {}
        for j, task in enumerate(tasks):
            world = World(self.kind, rows, rng)
            base[At("task", task, None)] = {column: world.base(30.0)}
            for i, values in enumerate(world.sequence(truth[:, j], self.sd, self.seeds)):
                filed[At("task", task, tasks[i])] = {column: values}
        mine = arm("method", tasks, filed, layouts, self.kind)
        made = study(arm("base", tasks, base, layouts, self.kind), [mine])
        found = made.continual(mine, self.kind.protocol, column)
        for name in ("average_accuracy", "learning_accuracy", "backward_transfer", "forgetting"):
            yield covered(name, found[name], getattr(continual, name)(truth))
        yield covered("forward_transfer", found["forward_transfer"], continual.forward_transfer(truth, [30.0] * 4))


@dataclass(frozen=True)
class Near:
    """A method whose answers differ from the base's in few items, drawn anew by every seed.

    ``change`` is the share of items that differ; ``lost``: all of them are right answers lost, else as many are won.
    """

    n: int
    change: float
    lost: bool
    seeds: int
    base: float = 70.0

    @property
    def name(self) -> str:
        """What stands in the table."""
        how = "lost" if self.lost else "differ"
        return f"right/wrong, n {self.n}, near the base: {100 * self.change:g} % {how}, seeds {self.seeds}"

    def draw(self, rng: Rng, drawing: int) -> Iterator[Outcome]:
        """Yield what the reports say of one data set."""
        rows, share = single(self.n), self.base / 100
        right = rng.random(self.n) < share
        chance = rng.random((self.seeds, self.n))
        losing, winning = (self.change, 0.0) if self.lost else (self.change / 2, self.change / 2)
        flipped = np.where(right, chance < losing / share, chance < winning / (1 - share))
        probe, task = f"{PROBE}{drawing}", "task"
        layouts, column = {probe: rows}, BINARY.metric
        base = arm("base", (task,), {At("probe", probe, None): {column: 100.0 * right[None]}}, layouts, BINARY)
        filed = {At("probe", probe, task): {column: 100.0 * (right ^ flipped)}}
        mine = arm("method", (task,), filed, layouts, BINARY)
        made = replace(study(base, [mine]), probe_name=probe)
        score = self.base - (100 * self.change if self.lost else 0.0)
        yield covered("kept", made.retention(mine, BINARY.protocol, column), 100 * score / self.base)
        yield covered("score", made.probe(mine, BINARY.protocol, column), score)
        gap = score - self.base
        less = compare(*(made.score_keys([each], BINARY.protocol, column, "probe") for each in (mine, base)))
        yield from compared("less the base", less, gap)


PLAIN = Kind("perplexity", "perplexity", "perplexity", 1.0)


@dataclass(frozen=True)
class Perplexity:
    """A perplexity, its retention, and less another's: texts of unequal length, a seed moving it by ``sd``.

    ``sd`` is of the perplexity's logarithm, and so is ``gap``, by which the other method's is less.
    """

    n: int
    sd: float
    seeds: int
    gap: float = 0.0

    @property
    def name(self) -> str:
        """What stands in the table."""
        apart = f", {100 * self.gap:g} % apart" if self.gap else ""
        return f"perplexity, n {self.n}, seeds {self.seeds}, sd {100 * self.sd:g} %{apart}"

    def draw(self, rng: Rng, drawing: int) -> Iterator[Outcome]:
        """Yield what the reports say of one data set."""
        rows, probe, task = single(self.n), f"{PROBE}{drawing}", "task"
        tokens = np.floor(np.clip(rng.lognormal(5, 0.7, (1, self.n)), 10, 1000))
        text = rng.gamma(16, 2.5 / 16, (1, self.n))
        luck = 0.05 * rng.standard_normal((1 + self.seeds, self.n)) + 0.05 * rng.standard_normal((1, self.n))
        loss = text + 0.1 + self.sd * rng.standard_normal((self.seeds, 1)) + luck[1:]
        layouts = {probe: rows}
        base = arm("base", (task,), {At("probe", probe, None): _nats(text + luck[:1], tokens)}, layouts, PLAIN)
        mine = arm("method", (task,), {At("probe", probe, task): _nats(loss, tokens)}, layouts, PLAIN)
        made = replace(study(base, [mine]), probe_name=probe)
        moved = np.exp(0.1 + self.sd**2 / 2)
        yield covered("perplexity", made.probe(mine, PLAIN.protocol, PLAIN.metric), float(np.exp(2.5) * moved))
        yield covered("kept", made.retention(mine, PLAIN.protocol, PLAIN.metric), float(100 / moved))
        luck = 0.05 * rng.standard_normal((self.seeds, self.n)) + 0.05 * rng.standard_normal((1, self.n))
        loss = text + 0.1 - self.gap + self.sd * rng.standard_normal((self.seeds, 1)) + luck
        other = arm("other", (task,), {At("probe", probe, task): _nats(loss, tokens)}, layouts, PLAIN)
        made = replace(study(base, [mine, other]), probe_name=probe)
        keys = [made.score_keys([each], PLAIN.protocol, PLAIN.metric, "probe") for each in (mine, other)]
        yield from compared("difference", compare(*keys), 100 * math.expm1(self.gap))
        (under,) = made.score_keys([base], PLAIN.protocol, PLAIN.metric, "probe")
        yield from compared("kept", compare(*keys, under), float(100 / moved * (1 - np.exp(self.gap))))


def _nats(loss: Floats, tokens: Floats) -> Mapping[str, Floats]:
    return {"loss": loss, "tokens": np.repeat(tokens, len(loss), axis=0)}


def _alike(count: int, sd: float, seeds: int, mean: float = 60.0) -> tuple[Truth, ...]:
    return (Truth(mean, sd, seeds),) * count


def _two(seeds: tuple[int, int], sds: tuple[float, float], gap: float = 0.0) -> tuple[Truth, ...]:
    return Truth(60.0 + gap, sds[0], seeds[0]), Truth(60.0, sds[1], seeds[1])


KINDS = (CONTINUOUS, BINARY)
SEEDS = ((1, 1), (4, 1), (2, 2), (4, 4))
SDS = (0.0, 2.0, 5.0)

ALIKE: tuple[Design, ...] = tuple(
    Methods(kind, single(n), _two(seeds, (sd, sd)))
    for kind in KINDS for n in (20, 90, 500) for seeds in SEEDS for sd in SDS
)  # fmt: skip
UNEQUAL: tuple[Design, ...] = tuple(
    Methods(kind, single(n), _two(seeds, (1.0, 5.0)))
    for kind in KINDS for n in (90, 500) for seeds in ((1, 4), (2, 2), (2, 4), (4, 2), (4, 4))
)  # fmt: skip
IN_GROUPS: tuple[Design, ...] = tuple(
    Methods(kind, layout, _two(seeds, (sd, sd)), rows)
    for kind in KINDS for rows, layout in GROUPED.items() for seeds in SEEDS for sd in (0.0, 2.0)
)  # fmt: skip
MEANS: tuple[Design, ...] = (
    *(Methods(kind, single(90), _two(seeds, (sd, sd)), tasks=3) for kind in KINDS for seeds in SEEDS for sd in SDS),
    *(
        Methods(kind, GROUPED["72 rows in 12 groups"], _alike(2, 2.0, seeds), "72 rows in 12 groups", 3)
        for kind in KINDS for seeds in (1, 2, 4)
    ),
    *(Methods(BINARY, single(20), _alike(2, 0.0, seeds, 97.0), tasks=3, base=97.0) for seeds in (1, 2, 4)),
)  # fmt: skip
TEN: tuple[Design, ...] = (
    *(Methods(kind, single(90), _alike(10, sd, seeds)) for kind in KINDS for seeds in (1, 2, 4) for sd in SDS),
    *(Methods(kind, single(90), _alike(10, 2.0, seeds), tasks=3) for kind in KINDS for seeds in (1, 2, 4)),
    *(
        Methods(kind, single(500), (Truth(63.0, 2.0, seeds), *_alike(9, 2.0, seeds)))
        for kind in KINDS for seeds in (1, 2, 4)
    ),
    *(
        Methods(kind, layout, _alike(10, 2.0, seeds), rows)
        for kind in KINDS for rows, layout in GROUPED.items() for seeds in (1, 2, 4)
    ),
)  # fmt: skip
APART: tuple[Design, ...] = tuple(
    Methods(kind, single(n), _two((seeds, seeds), (sd, sd), gap))
    for kind in KINDS for n, gap in ((90, 10.0), (500, 2.0), (500, 5.0)) for seeds in (1, 2, 4) for sd in (0.0, 2.0)
)  # fmt: skip
SEQUENCES: tuple[Design, ...] = tuple(
    Sequence(kind, n, sd, seeds, falls)
    for kind in KINDS for n in (20, 90) for sd in SDS for seeds in (1, 2, 4) for falls in (True, False)
)  # fmt: skip
NEAR: tuple[Design, ...] = (
    *(Near(n, change, False, seeds) for n in (20, 90) for change in (0.0, 0.02, 0.1) for seeds in (1, 2, 4)),
    *(Near(n, change, True, seeds) for n in (20, 90) for change in (0.02, 0.05, 0.1) for seeds in (1, 2, 4)),
)
PERPLEXITIES: tuple[Design, ...] = tuple(
    Perplexity(n, sd, seeds, gap)
    for n in (20, 90) for sd in (0.0, 0.02, 0.05) for seeds in (1, 2, 4) for gap in (0.0, 0.1)
)  # fmt: skip
FAMILIES: dict[str, tuple[Design, ...]] = {
    "Two equal methods": ALIKE,
    "Two equal methods, one with steadier seeds": UNEQUAL,
    "Items in groups": IN_GROUPS,
    "Means over three tasks": MEANS,
    "Ten methods": TEN,
    "Methods that differ": APART,
    "Sequences": SEQUENCES,
    "Near the base": NEAR,
    "Perplexity": PERPLEXITIES,
    "Equal learning": GRIDS,
}
