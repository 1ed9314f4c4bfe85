"""What forgetting consists of: what became of the probe's items that the base model had right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from secura_bench.report.study.arms import Arm
from secura_bench.report.study.items import Items
from secura_bench.report.study.study import Study


@dataclass(frozen=True)
class Forgetting:
    """Of ``n`` items that the base model answered right, the percent that are now ...

    Attributes:
        kept: right still. format: known, for the right choice is the likeliest, but not said so that it can be read.
        gone: wrong by choice, too. cut: without an end, so that there is no answer to judge.
    """

    n: int
    kept: float
    format: float
    gone: float
    cut: float


KINDS = ("kept", "format", "gone", "cut")


def forgetting(study: Study, arms: Sequence[Arm]) -> Forgetting | None:
    """Return the mean over arms and seeds at their ends, None where generation and choice were not both scored."""
    if study.base is None:
        return None
    parts = study.base.runs[0].record.probe_parts
    shares = []
    for arm in arms:
        for seed in range(len(arm.runs)):
            kinds = np.concatenate([*(_kinds(study.base, arm, seed, part) for part in parts), np.empty(0, int)])
            if len(kinds):
                shares.append((len(kinds), np.bincount(kinds.astype(int), minlength=len(KINDS)) / len(kinds) * 100))
    if not shares:
        return None
    mean = np.mean([share for _, share in shares], axis=0)
    return Forgetting(max(n for n, _ in shares), *map(float, mean))


def _kinds(base: Arm, arm: Arm, seed: int, part: str) -> np.ndarray:
    """Return the index in ``KINDS`` of each item of a part that the base had right and that is judged by choice."""
    before, after = _items(base, 0, part), _items(arm, seed, part)
    was = before.column("accuracy") if before else None
    columns = [after.column(name) for name in ("accuracy", "format", "gone")] if after else [None]
    there = [column for column in columns if column is not None]
    if before is None or after is None or was is None or len(there) < len(columns):
        return np.empty(0, int)
    had = dict(zip(before.ids, was, strict=True))
    accuracy, form, gone = there
    judged = np.isfinite(form) & np.isfinite(gone) & np.array([had.get(id_, 0.0) > 0 for id_ in after.ids], bool)
    kinds = np.select([accuracy > 0, form > 0, gone > 0], [0, 1, 2], default=3)
    return kinds[judged]


def _items(arm: Arm, seed: int, part: str) -> Items | None:
    found = arm.scores("generate", "part", part, "end")
    one = found[min(seed, len(found) - 1)] if found else None
    return one[0].items(one[1]) if one else None


def every_forgetting(study: Study) -> Iterator[tuple[str, Forgetting]]:
    """Yield each method with what its forgetting consists of, where that is known."""
    for method in study.methods:
        found = forgetting(study, [arm for arm in study.arms if arm.method == method])
        if found:
            yield method, found
