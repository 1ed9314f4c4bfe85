"""How sure a score is: bootstrap intervals, differences, equality, the best of several. Pure functions of arrays.

``docs/statistics.md`` has every formula with its source, and the rates at which each errs in simulations.
"""

from secura_bench.report.statistics.components import Components, components_of
from secura_bench.report.statistics.intervals import (
    Interval,
    interval,
    perplexity_interval,
    perplexity_ratio_interval,
    predicted,
    ratio_interval,
    seed_interval,
)
from secura_bench.report.statistics.power import (
    MOST_ROWS,
    MOST_SEEDS,
    POWER,
    Design,
    least_answers,
    least_design,
    power_to_equate,
    power_to_tell,
    smallest_at_least,
    smallest_equated,
    smallest_told,
)
from secura_bench.report.statistics.resampling import ENOUGH, ENOUGH_GROUPS, LEVEL, RESAMPLES
from secura_bench.report.statistics.samples import Floats, Sample, Stratum, difference
from secura_bench.report.statistics.significance import Comparison, compare, equivalence, holm, mcnemar, told_from_best

__all__ = [
    "ENOUGH",
    "ENOUGH_GROUPS",
    "LEVEL",
    "MOST_ROWS",
    "MOST_SEEDS",
    "POWER",
    "RESAMPLES",
    "Comparison",
    "Components",
    "Design",
    "Floats",
    "Interval",
    "Sample",
    "Stratum",
    "compare",
    "components_of",
    "difference",
    "equivalence",
    "holm",
    "interval",
    "least_answers",
    "least_design",
    "mcnemar",
    "perplexity_interval",
    "perplexity_ratio_interval",
    "power_to_equate",
    "power_to_tell",
    "predicted",
    "ratio_interval",
    "seed_interval",
    "smallest_at_least",
    "smallest_equated",
    "smallest_told",
    "told_from_best",
]
