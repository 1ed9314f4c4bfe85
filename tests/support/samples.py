"""Scores as a sample: a row for each seed, a column for each item."""

from __future__ import annotations

import numpy as np

from secura_bench.report.statistics import Sample, Stratum


def sample(values, name: str = "t") -> Sample:
    values = np.atleast_2d(np.asarray(values, dtype=float))
    return Sample((Stratum(name, tuple(map(str, range(values.shape[1]))), values),))
