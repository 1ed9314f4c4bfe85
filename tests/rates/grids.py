"""Methods over a grid of settings, each of a true learning and a true keeping: what is said at equal learning."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from counts import Outcome
from filed import PROBE, At, arm, study
from worlds import BINARY, CONTINUOUS, LUCK, TASTE, Floats, Kind, Layout, Rng, World, single

from secura_bench.report.statistics.frontier import Level, gap_at, held_at, mean_gap, useful
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.families import families
from secura_bench.report.study.frontier import frontier_of
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.study import Study

Points = tuple[tuple[float, float], ...]
"""True learned and true score on the probe, a setting each."""

_ALIKE: Points = ((20, 68), (40, 64), (60, 56), (80, 45), (90, 30))
SHAPES: Mapping[str, tuple[float, Points, Points]] = {
    "alike": (70.0, _ALIKE, _ALIKE),
    "one above": (
        70.0,
        ((15, 69), (40, 66), (60, 60), (80, 52), (90, 40)),
        ((25, 66), (45, 60), (65, 52), (75, 46), (85, 30)),
    ),
    "flat at first": (
        70.0,
        ((12, 70), (20, 70), (40, 69.5), (70, 68), (90, 60)),
        ((12, 70), (20, 70), (45, 69.5), (72, 66), (92, 55)),
    ),
    "nothing more learned": (
        70.0,
        ((30, 68), (60, 62), (88, 55), (90, 45), (90, 30)),
        ((20, 68), (70, 60), (90, 50), (91, 44), (90, 35)),
    ),
    "breaks down": (
        70.0,
        ((30, 68), (60, 62), (85, 50), (70, 30), (40, 15)),
        ((20, 68), (70, 58), (90, 45), (75, 28), (50, 10)),
    ),
    "hardly forgets": (
        96.0,
        ((20, 94), (40, 93.5), (60, 93), (80, 92), (90, 90)),
        ((25, 94.5), (45, 94), (65, 93), (85, 92), (95, 91)),
    ),
    "two settings": (70.0, ((30, 66), (70, 50)), ((45, 62), (85, 40))),
}
"""By name: the base's score, and the points of two methods."""


@dataclass(frozen=True)
class Grids:
    """Two methods over a grid; a seed that learns more than another of its setting keeps less."""

    kind: Kind
    shape: str
    rows: int
    probe_rows: int
    seeds: int
    sd: float

    @property
    def name(self) -> str:
        """What stands in the table."""
        rows = f"{self.rows} rows, probe {self.probe_rows}"
        return f"{self.kind.name}, {self.shape}, {rows}, seeds {self.seeds}, sd {self.sd:g}"

    @property
    def kept_by(self) -> str:
        """The protocol that scores the probe."""
        return self.kind.protocol

    def draw(self, rng: Rng, drawing: int) -> Iterator[Outcome]:
        """Yield what the reports say of one data set."""
        base, one, other = SHAPES[self.shape]
        truth = [useful(*_columns(points, base)) for points in (one, other)]
        made = self._study(rng, drawing)
        found = frontier_of(made, PROTOCOLS[self.kept_by], families(made))
        if found is None or len(found.lines) < 2:
            return
        first, second = found.lines
        gap = found.gap(first, second)
        true_gap = float(mean_gap(truth)[0])
        yield _covered("mean difference", gap, true_gap)
        told = None if gap is None or gap.p is None else gap.p < 0.05
        yield Outcome("told apart", "power" if true_gap else "error", told, gap is not None and gap.items_only)
        if all(learned.min() <= found.at <= learned.max() for learned, _ in truth):
            yield _covered("difference at one learning", found.gap_at(first, second), float(gap_at(truth, found.at)[0]))
            yield _covered("kept at one learning", found.kept(first), float(held_at(truth[0], found.at)[0]))

    def _study(self, rng: Rng, drawing: int) -> Study:
        base, *methods = SHAPES[self.shape]
        probe, task = f"{PROBE}{drawing}", f"task {drawing}"
        layouts = {probe: single(self.probe_rows), task: single(self.rows)}
        worlds = self._worlds(rng, probe, layouts)
        arms = []
        for number, points in enumerate(methods):
            own = {name: layout.noise(rng) for name, layout in layouts.items()}
            for setting, means in enumerate(points):
                luck = rng.standard_normal((2, self.seeds))
                moved = luck[0], math.sqrt(0.5) * (luck[1] - luck[0])
                filed = {}
                filed[At("task", task, task)] = self._learned(rng, worlds[task], means[0], own[task], moved[0])
                filed[At("probe", probe, task, self.kept_by)] = self._kept(
                    rng, worlds[probe], means[1], own[probe], moved[1]
                )
                mine = arm(f"method {number} {setting}", (task,), filed, layouts, self.kind)
                arms.append(_declared(mine, f"method {number}", setting))
        untouched = {At("probe", probe, None, self.kept_by): self._untouched(worlds[probe], base)}
        bare = arm("base", (task,), untouched, layouts, self.kind)
        return replace(study(bare, arms), probe_name=probe)

    def _worlds(self, rng: Rng, probe: str, layouts: Mapping[str, Layout]) -> dict[str, Any]:
        return {name: World(self.kind, layout, rng) for name, layout in layouts.items()}

    def _learned(self, rng: Rng, world: World, mean: float, own: Floats, moved: Floats) -> dict[str, Floats]:
        return {self.kind.metric: self._runs(rng, world, mean, own, moved)}

    def _kept(self, rng: Rng, world: Any, mean: float, own: Floats, moved: Floats) -> dict[str, Floats]:
        return self._learned(rng, world, mean, own, moved)

    def _untouched(self, world: Any, mean: float) -> dict[str, Floats]:
        return {self.kind.metric: world.base(mean)}

    def _runs(self, rng: Rng, world: World, mean: float, own: Floats, moved: Floats) -> Floats:
        """Return scores, seeds × items; most of what a method makes of the items is the same at all of its settings."""
        spread = self.kind.of_seed(mean, min(self.sd, 1.5) if mean > 90 else self.sd)
        taste = math.sqrt(0.7) * own + math.sqrt(0.3) * world.layout.noise(rng)
        luck = math.sqrt(LUCK) * world.layout.noise(rng, self.seeds)
        where = self.kind.location(mean, 1 + spread**2)
        return self.kind.scores(where + world.difficulty + math.sqrt(TASTE) * taste + spread * moved[:, None] + luck)


@dataclass(frozen=True)
class Texts:
    """Some texts: how many tokens each has, and how hard it is."""

    layout: Layout
    tokens: Floats
    difficulty: Floats


@dataclass(frozen=True)
class KeptByPerplexity(Grids):
    """The same, but what was kept is told by the perplexity of texts of unequal length; a seed moves it by 2 %."""

    @property
    def name(self) -> str:
        """What stands in the table."""
        return f"{super().name}, kept by perplexity"

    @property
    def kept_by(self) -> str:
        """The protocol that scores the probe."""
        return "perplexity"

    def _worlds(self, rng: Rng, probe: str, layouts: Mapping[str, Layout]) -> dict[str, Any]:
        texts = layouts[probe]
        tokens = rng.integers(20, 120, texts.n).astype(float)
        return {**super()._worlds(rng, probe, layouts), probe: Texts(texts, tokens, 0.5 * texts.noise(rng))}

    def _kept(self, rng: Rng, world: Texts, mean: float, own: Floats, moved: Floats) -> dict[str, Floats]:
        """Return nats a token, of which exp(base - nats) is the share kept; what loses more, texts differ more in."""
        base = SHAPES[self.shape][0]
        lost = math.log(base / mean)
        seed = 0.02 * bool(self.sd)
        unlike = (0.02 + 0.2 * lost) * (math.sqrt(0.7) * own + math.sqrt(0.3) * world.layout.noise(rng))
        luck = (0.01 + 0.05 * lost) * world.layout.noise(rng, self.seeds)
        nats = _NATS + lost - seed**2 / 2 + world.difficulty + unlike + seed * moved[:, None] + luck
        return {"loss": nats, "tokens": np.tile(world.tokens, (self.seeds, 1))}

    def _untouched(self, world: Texts, mean: float) -> dict[str, Floats]:
        return {"loss": (_NATS + world.difficulty)[None], "tokens": world.tokens[None]}


_NATS = 3.5


def _declared(mine: Arm, family: str, setting: int) -> Arm:
    for run in mine.runs:
        run.record.method["tuned"] = {"family": family, "settings": {"train.lr": setting + 1}}
    return mine


def _columns(points: Points, base: float) -> tuple[Floats, Floats]:
    values = np.array(points, dtype=float)
    return values[:, :1], 100 / base * values[:, 1:]


def _covered(what: str, found: Level | None, truth: float) -> Outcome:
    interval = found.interval if found else None
    return Outcome(what, "coverage", truth in interval if interval else None, found is not None and found.items_only)


GRIDS: tuple[Grids, ...] = tuple(
    Grids(kind, shape, *sizes)
    for kind in (CONTINUOUS, BINARY)
    for shape in SHAPES
    for sizes in ((90, 90, 1, 0.0), (30, 90, 2, 2.0), (90, 90, 2, 5.0), (90, 200, 3, 2.0), (90, 90, 4, 0.0))
) + tuple(
    KeptByPerplexity(CONTINUOUS, shape, *sizes)
    for shape in SHAPES
    for sizes in ((90, 30, 1, 0.0), (90, 30, 2, 2.0), (90, 90, 4, 2.0))
)
