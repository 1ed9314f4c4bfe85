"""The scores of single items as a report holds them: read from a run's files, names kept once. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic_core import from_json

from secura_bench.foundation.regular import read_regular
from secura_bench.report.statistics import Floats, Stratum

_LARGEST = 1 << 30  # bytes

Names = tuple[str, ...]


class Scored(NamedTuple):
    """The items that a metric says something of: ``ids`` and ``groups`` (None: each its own) as kept, and scores."""

    ids: Names
    groups: Names | None
    values: Floats


@dataclass(frozen=True)
class Items:
    """Every item's scores of one protocol on one task at one moment; ``files`` as read, of the probe one a part.

    ``groups`` names the set of tied rows (``tasks/ties.py``) that each item is of by the set's first item, which is the
    same whatever the rows' source calls it; None where no file has any.
    """

    ids: Names
    files: tuple[Mapping[str, Sequence[float | None]], ...]
    groups: Names | None = None

    def column(self, metric: str) -> Floats | None:
        """Return a metric's scores, NaN for none; None where there is no such column, or no numbers in it."""
        try:
            return np.concatenate([np.array(file[metric], dtype=float) for file in self.files])
        except (KeyError, ValueError, TypeError, OverflowError):
            return None

    def scored(self, metric: str) -> Scored | None:
        """Return the items that ``metric`` says something of; None where there is no such column."""
        values = self.column(metric)
        if values is None:
            return None
        told = np.isfinite(values)
        if told.all():
            return Scored(self.ids, self.groups, values)
        groups = self.groups and _shared(_chosen(self.groups, told))
        return Scored(_chosen(self.ids, told), groups, values[told])


def read_items(path: Path) -> Items | None:
    """Read one file of items; None where it is missing or damaged."""
    try:
        data = from_json(read_regular(path, _LARGEST))
        ids = tuple(map(str, data.pop("id")))
        named = data.pop("group", None)
        columns = [*data.values(), *([] if named is None else [named])]
        alike = all(isinstance(column, list) and len(column) == len(ids) for column in columns)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if not ids or not alike or not all(isinstance(name, str) for name in named or ()):
        return None
    first: dict[str, str] = {}
    groups = tuple(first.setdefault(name, id_) for name, id_ in zip(named or (), ids, strict=False))
    return Items(_kept(ids), (data,), _shared(_kept(groups)) if groups else None)


def pooled(parts: Sequence[str], read: Sequence[Items | None]) -> Items | None:
    """Return the items of all parts as one set, ids and groups named by part; None where a part is missing."""
    found = [items for items in read if items is not None]
    if len(found) < len(parts) or not found:
        return None
    ids = _pooled_names(tuple(parts), tuple(_Same(items.ids) for items in found))
    groups = None
    if any(items.groups for items in found):
        groups = _pooled_names(tuple(parts), tuple(_Same(items.groups or items.ids) for items in found))
    return Items(ids, tuple(file for items in found for file in items.files), groups)


def stacked(name: str, seeds: Sequence[Scored], runs: str, fixed: bool) -> Stratum:
    """Return the scores of the same items under each of ``seeds``, of which none is in what is ``fixed``.

    Files of one run may be older than groups and another's not: what is tied is so whoever wrote it down.
    """
    groups = next((seed.groups for seed in seeds if seed.groups), None)
    return Stratum(name, seeds[0].ids, np.stack([seed.values for seed in seeds]), runs, groups, fixed)


def joined(loss: Floats, tokens: Floats, groups: Names | None) -> tuple[Floats, Floats]:
    """Return the texts that every run has a loss of, those of one group as one: its tokens, and their mean loss.

    ``loss`` in nats a token, ``tokens`` (both runs × texts).
    """
    told = np.isfinite(loss).all(axis=0)
    loss, tokens = loss[:, told], tokens[:, told]
    if groups is None:
        return loss, tokens
    _, index = np.unique(np.array(groups)[told], return_inverse=True)
    nats, count = (np.array([np.bincount(index, row) for row in rows], float) for rows in (loss * tokens, tokens))
    return np.divide(nats, count, out=np.zeros_like(nats), where=count > 0), count


_NAMES: dict[Names, Names] = {}


def _kept(names: Names) -> Names:
    """Return the one tuple of these names: methods are scored on the same items, whose names are kept once."""
    return _NAMES.setdefault(names, names)


def _chosen(names: Names, told: Iterable[bool]) -> Names:
    return _kept(tuple(name for name, kept in zip(names, told, strict=True) if kept))


def _shared(groups: Names) -> Names | None:
    """Return ``groups``, None where no two items are of one: then each is its own."""
    return groups if len(set(groups)) < len(groups) else None


class _Same:
    """A kept tuple of names, told by identity and not by its thousand names."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def __hash__(self) -> int:
        return id(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.names is other.names


@lru_cache(maxsize=256)
def _pooled_names(parts: tuple[str, ...], names: tuple[_Same, ...]) -> Names:
    return _kept(tuple(f"{part}/{name}" for part, same in zip(parts, names, strict=True) for name in same.names))
