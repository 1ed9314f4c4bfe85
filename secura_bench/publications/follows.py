"""Printed numbers that follow from others: averages, backward transfer, gains over the base."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from secura_bench.publications.file import Follows, PublicationFile
from secura_bench.publications.place import Numbers, Place

_CALLED = {"mean": "mean", "average": "average", "backward_transfer": "backward transfer", "gain": "mean gain"}


@dataclass(frozen=True)
class Followed:
    """What a printed number must be: ``value`` as it follows, how far off is right, and in words from what."""

    value: float
    tolerance: float
    said: str


def followed(file: PublicationFile, numbers: Numbers, place: Place) -> Followed | None:
    """Return what a number must be by the others; None where it follows from nothing, or some of them are missing."""
    follows = next((each for each in file.tables[place.table].follows if is_at(place, each)), None)
    weighted = _parts(numbers, place, follows) if follows else []
    if follows is None or not weighted:
        return None
    value = math.fsum(weight * numbers[part].value for weight, part in weighted)
    rounding = (numbers[place].unit + math.fsum(abs(weight) * numbers[part].unit for weight, part in weighted)) / 2
    tolerance = rounding if follows.tolerance is None else follows.tolerance
    whose = "the models' numbers" if "model" in follows.over else "the numbers that it is of"
    digits = max(0, round(-math.log10(numbers[place].unit)))
    return Followed(value, tolerance, f"{whose}: their {_CALLED[follows.formula]} is {value:.{digits}f}")


def is_at(place: Place, follows: Follows) -> bool:
    """Return whether a number is one of those that follow so."""
    return all(str(getattr(place, key)) == value for key, value in follows.where.items())


def _parts(numbers: Numbers, place: Place, follows: Follows) -> list[tuple[float, Place]]:
    """Return the places that a number follows from, each with its weight; nothing where one of them is missing."""
    there = replace(place, table=follows.table or place.table)
    if follows.formula == "mean":
        values = [tuple(values) for values in follows.over.values()]
        parts = [_moved(there, dict(zip(follows.over, each, strict=True))) for each in product(*values)]
        found = [(1 / len(parts), part) for part in parts]
    elif follows.formula == "gain":
        own = [p for p in numbers if _same_run(p, there) and p.metric != place.metric] if place.method != "base" else []
        found = [(1 / len(own), part) for part in own]
        found += [(-1 / len(own), replace(part, method=follows.base)) for part in own]
    else:
        found = _of_a_matrix([p for p in numbers if _same_run(p, there)], follows.formula == "average")
    return found if found and all(part in numbers for _, part in found) else []


def _of_a_matrix(places: Sequence[Place], average: bool) -> list[tuple[float, Place]]:
    """Return the last row of an accuracy matrix, and for backward transfer less its diagonal; over T, and T − 1."""
    if not places:
        return []
    last = places[-1].after
    final = [place for place in places if place.after == last]
    if average:
        return [(1 / len(final), place) for place in final]
    earlier = [place for place in final if place.task != last]
    weight = 1 / max(1, len(earlier))
    return [each for p in earlier for each in ((weight, p), (-weight, replace(p, after=p.task)))]


def _moved(place: Place, to: Mapping[Any, Any]) -> Place:
    return replace(place, **to)


def _same_run(one: Place, other: Place) -> bool:
    return (one.table, one.model, one.method, one.variant) == (other.table, other.model, other.method, other.variant)
