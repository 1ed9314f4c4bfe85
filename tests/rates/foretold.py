"""How often two methods are told apart, or shown equal, beside how often it was foretold: Markdown.

python tests/rates/foretold.py [--sets 500]

What is foretold is by the components of a data set of the same kind so large that they are known; and by those of
pilots of few seeds, of which the designs that they ask for are tried.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from worlds import BINARY, CONTINUOUS, GROUPED, Kind, Layout, Rng, Truth, World, single

from secura_bench.report import statistics
from secura_bench.report.statistics import Components, Sample, Stratum
from secura_bench.report.study.ranking import ALPHA

DRAWINGS = 8
"""Names of rows that take turns: each fixes its own resamples."""
_LARGE, _MANY = 4000, 40
"""Groups and seeds by which the components of items are known."""


@dataclass(frozen=True)
class Experiment:
    """Two methods ``gap`` apart on some rows, a mean over ``tasks`` of such, under so many ``seeds`` of ``sd``."""

    kind: Kind
    rows: str
    layout: Layout
    seeds: int
    sd: float
    gap: float
    tasks: int = 1

    @property
    def name(self) -> str:
        """What stands in the table."""
        means = f" in each of {self.tasks} tasks" if self.tasks > 1 else ""
        return f"{self.kind.name}, {self.rows}{means}, {self.seeds} seeds of sd {self.sd:g}, {self.gap:g} points"

    @cached_property
    def components(self) -> Components:
        """Its components: of items by ``_LARGE`` groups or more under ``_MANY`` seeds, of seeds as they are drawn."""
        times = -(-_LARGE // len(self.layout.sizes))
        large = Layout(self.layout.sizes * times, self.layout.shared)
        found = statistics.components_of(*self.draw(np.random.default_rng(0), self.gap, "", large, _MANY))
        assert found is not None
        runs = tuple(replace(each, seeds=(self.sd / self.tasks) ** 2) for each in found.runs)
        return replace(found.times(1 / times), runs=runs)

    def draw(
        self, rng: Rng, gap: float, drawing: str, layout: Layout | None = None, seeds: int = 0
    ) -> tuple[Sample, Sample]:
        """Return the scores of both."""
        rows, count = layout or self.layout, seeds or self.seeds
        ids = tuple(map(str, range(rows.n)))
        groups = tuple(map(str, rows.groups)) if rows.grouped else None
        sides: tuple[list[Stratum], list[Stratum]] = [], []
        for task in range(self.tasks):
            world = World(self.kind, rows, rng)
            for side, mean in zip(sides, (60.0 + gap, 60.0), strict=True):
                values = world.runs(Truth(mean, self.sd, count))
                side.append(Stratum(f"{drawing} {task}", ids, values, f"runs {task}", groups))
        return Sample(tuple(sides[0])), Sample(tuple(sides[1]))

    def told(self, sets: int) -> float:
        """Return in which share of ``sets`` data sets ``compare`` told the two apart."""
        return self._share(sets, self.gap, lambda one, other: statistics.compare(one, other).p)  # type: ignore[union-attr]

    def equated(self, sets: int) -> float:
        """Return in which share of ``sets`` data sets of two that are alike they were shown equal within ``gap``."""
        return self._share(sets, 0.0, lambda one, other: statistics.equivalence(one, other, self.gap))

    def _share(self, sets: int, gap: float, p: Callable[[Sample, Sample], float]) -> float:
        hits = 0
        for number in range(sets):
            rng = np.random.default_rng([number, self.seeds, self.layout.n])
            hits += p(*self.draw(rng, gap, str(number * DRAWINGS // sets))) < ALPHA
        return hits / sets


EXPERIMENTS = tuple(
    Experiment(kind, rows, layout, seeds, sd, gap, tasks)
    for kind, rows, layout, seeds, sd, gap, tasks in (
        (CONTINUOUS, "90 rows", single(90), 2, 2.0, 8.0, 1),
        (CONTINUOUS, "90 rows", single(90), 4, 2.0, 8.0, 1),
        (CONTINUOUS, "500 rows", single(500), 4, 0.0, 3.0, 1),
        (CONTINUOUS, "500 rows", single(500), 3, 5.0, 12.0, 1),
        (CONTINUOUS, "60 rows", single(60), 3, 2.0, 6.0, 3),
        (CONTINUOUS, "101 rows in 24 groups", GROUPED["101 rows in 24 groups"], 4, 2.0, 10.0, 1),
        (BINARY, "90 rows", single(90), 2, 2.0, 12.0, 1),
        (BINARY, "200 rows", single(200), 4, 2.0, 8.0, 1),
        (BINARY, "72 rows in 12 groups", GROUPED["72 rows in 12 groups"], 4, 2.0, 15.0, 1),
        (BINARY, "500 rows", single(500), 8, 2.0, 4.0, 1),
    )
)


def lines(sets: int) -> Iterator[str]:
    """Yield the table."""
    yield "| two methods | told: foretold | told | equal: foretold | shown |"
    yield "|---|---:|---:|---:|---:|"
    for each in EXPERIMENTS:
        found = each.components
        foretold = [
            power(found, each.gap, each.seeds) for power in (statistics.power_to_tell, statistics.power_to_equate)
        ]
        numbers = foretold[0], each.told(sets), foretold[1], each.equated(sets)
        yield f"| {each.name} | {' | '.join(f'{100 * number:.1f}' for number in numbers)} |"


def pilots(sets: int) -> Iterator[str]:
    """Yield what the power truly is of the designs that pilots ask for."""
    yield "| pilot | designs found | power: lower quarter | median | upper quarter |"
    yield "|---|---:|---:|---:|---:|"
    for each in EXPERIMENTS[1:2] + EXPERIMENTS[7:8]:
        for seeds in (2, 4, 8):
            true = []
            for number in range(sets):
                rng = np.random.default_rng([number, seeds])
                found = statistics.components_of(*each.draw(rng, each.gap, "", seeds=seeds))
                design = found and statistics.least_design(found, each.gap / 2)
                if design:
                    there = each.components.times(design.rows / each.layout.n)
                    true.append(100 * statistics.power_to_tell(there, each.gap / 2, design.seeds))
            quarters = " | ".join(f"{value:.0f}" for value in np.percentile(true, (25, 50, 75)))
            pilot = f"{each.kind.name}, {each.rows}, {seeds} seeds, to tell {each.gap / 2:g} points"
            yield f"| {pilot} | {len(true)} of {sets} | {quarters} |"


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=500)
    sets = parser.parse_args().sets
    for line in (*lines(sets), "", *pilots(max(1, sets // 5))):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
