"""A perplexity as a mean of items, so that it is resampled as other scores are: nats a token, a text by its tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from secura_bench.report.statistics import Floats, Sample, Stratum, difference
from secura_bench.report.study.cells import ScoreKey

PERPLEXITY = "perplexity"
"""The metric that is told of by nats a token, and better the lower it is."""


def nats_of(keys: Sequence[ScoreKey]) -> Sample | None:
    """Return item scores whose mean is the logarithm of the mean perplexity of ``keys``, over seeds and sequences.

    A text has R + t / t̄ · (l − R): l its nats a token, t its tokens, R the run's nats a token, which is the mean of
    these; so the ratio is linearised where texts are resampled (Cochran 1977, Sampling Techniques, section 6.3). Then
    all are moved alike, from the mean over runs to the logarithm of their mean perplexity. None where a run's texts
    are not all there.
    """
    found = [_stratum(key) for key in keys]
    strata = [stratum for stratum in found if stratum is not None]
    if not strata or len(strata) < len(found):
        return None
    logarithm = _mean_of_exponentials(np.array([_mean_of_exponentials(each.values.mean(axis=1)) for each in strata]))
    moved = logarithm - Sample(tuple(strata)).value
    return Sample(tuple(replace(stratum, values=stratum.values + moved) for stratum in strata))


def kept_of(keys: Sequence[ScoreKey], base: ScoreKey) -> Sample | None:
    """Return item scores whose mean is the base's perplexity as percent of that of ``keys``, on the texts of both.

    To first order they move as it does: K · (1 − d + mean d), of how many nats d a text has more than under the base.
    """
    mine, under = nats_of(keys), nats_of([base])
    more = difference(mine, under) if mine and under else None
    if more is None:
        return None
    mean, kept = more.value, 100 * math.exp(-more.value)
    strata = (replace(s, values=kept * (1 - (s.values - mean)), gap=False, nat=kept) for s in more.strata)
    return Sample(tuple(strata))


def _stratum(key: ScoreKey) -> Stratum | None:
    read = [each and each[0].items(each[1]) for each in key.scores()]
    there = [items for items in read if items]
    columns = [(items.column("loss"), items.column("tokens")) for items in there]
    known = [(nats, count) for nats, count in columns if nats is not None and count is not None]
    if not known or len(known) < len(read) or any(items.ids is not there[0].ids for items in there):
        return None
    loss, tokens = (np.stack(rows) for rows in zip(*known, strict=True))
    told = np.isfinite(loss).all(axis=0) & (tokens > 0).all(axis=0)
    if not told.any():
        return None
    loss, tokens = loss[:, told], tokens[:, told]
    ratio = (loss * tokens).sum(axis=1, keepdims=True) / tokens.sum(axis=1, keepdims=True)
    values = ratio + tokens / tokens.mean(axis=1, keepdims=True) * (loss - ratio)
    names = there[0].ids, next((items.groups for items in there if items.groups), None)
    ids, groups = (
        rows if rows is None or told.all() else tuple(row for row, kept in zip(rows, told, strict=True) if kept)
        for rows in names
    )
    runs = "" if key.arm.is_base else " ".join(key.arm.sequence)
    return Stratum(key.task, ids or (), values, runs, groups, key.arm.is_base, nat=1.0)


def _mean_of_exponentials(logarithms: Floats) -> float:
    """Return the logarithm of the mean of what these are the logarithms of."""
    return float(np.logaddexp.reduce(logarithms) - np.log(len(logarithms)))
