"""What it takes to tell two methods apart, or to show them equal, by the variances in their own records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from secura_bench.foundation.wording import about
from secura_bench.report import statistics
from secura_bench.report.statistics import MOST_ROWS, MOST_SEEDS, POWER, Components, Design

IN_MOST = f"in {100 * POWER:g} % of such experiments"


@dataclass(frozen=True)
class Takes:
    """What a difference of ``points`` takes between two methods' scores, whose points are ``scale`` of these.

    It hangs on no difference that was seen, but on variances alone.
    """

    components: Components
    points: float
    scale: float = 1.0

    @property
    def known(self) -> bool:
        """Whether something is known of seeds, and some item differs."""
        return self.components.seeds_known and self.components.variance(1) > 0

    @cached_property
    def to_tell(self) -> Design | None:
        """What would tell such a difference; None where it is not known, or more than is worth naming."""
        return statistics.least_design(self.components, self.points / self.scale)

    @cached_property
    def to_equate(self) -> Design | None:
        """What would show two that are alike equal within it; None as above."""
        return statistics.least_design(self.components, self.points / self.scale, statistics.smallest_equated)

    @property
    def answers(self) -> int | None:
        """Of how many answers a method, seeds times rows, it takes more: all that is known where there is one seed."""
        return statistics.least_answers(self.components, self.points / self.scale)


def design(found: Design | None) -> str:
    """Return a design in words: ``about 32 seeds of 1,700 rows``; None is one of more than is worth naming."""
    if found is None:
        return f"more than {MOST_SEEDS} seeds or {MOST_ROWS:,} rows"
    return f"about {found.seeds} seeds of {about(found.rows)} rows"
