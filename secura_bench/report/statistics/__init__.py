"""How sure a score is: bootstrap intervals, differences, equality, the best of several. Pure functions of arrays.

``docs/statistics.md`` has every formula with its source, and the rates at which each errs in simulations.
"""

from secura_bench.report.statistics.intervals import (
    Interval,
    interval,
    perplexity_interval,
    perplexity_ratio_interval,
    predicted,
    ratio_interval,
    seed_interval,
)
from secura_bench.report.statistics.resampling import ENOUGH, ENOUGH_GROUPS, LEVEL, RESAMPLES
from secura_bench.report.statistics.samples import Floats, Sample, Stratum, difference
from secura_bench.report.statistics.significance import Comparison, compare, equivalence, mcnemar, told_from_best

__all__ = [
    "ENOUGH",
    "ENOUGH_GROUPS",
    "LEVEL",
    "RESAMPLES",
    "Comparison",
    "Floats",
    "Interval",
    "Sample",
    "Stratum",
    "compare",
    "difference",
    "equivalence",
    "interval",
    "mcnemar",
    "perplexity_interval",
    "perplexity_ratio_interval",
    "predicted",
    "ratio_interval",
    "seed_interval",
    "told_from_best",
]
