"""A method's curve of a setting against what it learns, read backwards: at which setting does it learn so much?

The curve is linear between neighbouring settings, on a log scale of the setting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise


class NotReachedError(Exception):
    """What is to be learned lies on no piece of the curve; the message says where the curve is."""


def setting_at(learned: Mapping[float, float], wanted: float) -> float:
    """Return the setting at which ``wanted`` is learned, the smallest where there are several.

    ``learned`` by setting, which is positive; minus infinity where a run diverged. From a diverged setting nothing is
    interpolated, and beyond the first and the last nothing is extrapolated.

    Raises:
        NotReachedError: There is no such setting.
    """
    points = sorted(learned.items())
    for (low, before), (high, after) in pairwise(points):
        if wanted == before:
            return low
        if math.isfinite(before) and math.isfinite(after) and min(before, after) < wanted < max(before, after):
            share = (wanted - before) / (after - before)
            return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    if points[-1][1] == wanted:
        return points[-1][0]
    known = [(score, setting) for setting, score in points if math.isfinite(score)]
    if not known:
        raise NotReachedError("it diverged at every setting of its grid")
    (least, worst), (most, best) = min(known), max(known)
    if most < wanted:
        raise NotReachedError(f"it learns {most:.3g} at most (at {best:g}), and {wanted:.3g} is wanted")
    if least > wanted:
        raise NotReachedError(f"it learns {least:.3g} at least (at {worst:g}), and {wanted:.3g} is wanted")
    raise NotReachedError(f"{wanted:.3g} lies beside a setting at which it diverged")
