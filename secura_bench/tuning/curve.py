"""A method's curve of a setting against what it learns, read backwards: at which setting does it learn so much?

What is learned is the fall of the held-out loss, in nats a token, of one model on one set of rows: two methods learn as
much where their losses are equal. The curve is linear between neighbouring settings, on a log scale of the setting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise


class NotReachedError(Exception):
    """The loss that was asked for lies on no piece of the curve; the message says where it would be."""


def setting_at(losses: Mapping[float, float], wanted: float) -> float:
    """Return the setting at which the loss is ``wanted``, the smallest where there are several.

    ``losses`` by setting, which is positive; infinite where a run diverged. From a diverged setting nothing is
    interpolated, and beyond the first and the last nothing is extrapolated.

    Raises:
        NotReachedError: There is no such setting.
    """
    points = sorted(losses.items())
    for (low, before), (high, after) in pairwise(points):
        if wanted == before:
            return low
        if math.isfinite(before) and math.isfinite(after) and min(before, after) < wanted < max(before, after):
            share = (wanted - before) / (after - before)
            return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    if points[-1][1] == wanted:
        return points[-1][0]
    learned = [(loss, setting) for setting, loss in points if math.isfinite(loss)]
    if not learned:
        raise NotReachedError("it diverged at every setting of its grid")
    (least, best), (most, worst) = min(learned), max(learned)
    if least > wanted:
        raise NotReachedError(f"its grid reaches a loss of {least:.3g} (at {best:g}) and not {wanted:.3g}")
    if most < wanted:
        raise NotReachedError(f"it learns more at every setting: its largest loss is {most:.3g} (at {worst:g})")
    raise NotReachedError(f"a loss of {wanted:.3g} lies beside a setting that diverged")
