"""The order of rows: as the spec of the runs has its methods, whenever each run of them ended."""

from __future__ import annotations

from collections.abc import Iterable

from secura_bench.report.study.runs import Run
from secura_bench.results.folder import RunFolder


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Return runs in the order of their specs' methods; of several specs that comes first whose first run ended first.

    A run whose folder does not say its spec's methods (a record by itself, of an older version or of another program)
    stands by the moment at which it ended.
    """
    by_end = sorted(runs, key=ended)
    places = {id(run): _place(run) for run in by_end}
    first: dict[tuple[str, ...], tuple[str, str]] = {}
    for run in by_end:
        first.setdefault(places[id(run)][0], ended(run))

    def key(run: Run) -> tuple[tuple[str, str], int, tuple[str, str]]:
        methods, place = places[id(run)]
        return first[methods] if methods else ended(run), place, ended(run)

    return sorted(by_end, key=key)


def ended(run: Run) -> tuple[str, str]:
    """Return when a run ended, to the second, and of two of one second the name."""
    return (run.record.finished_at, run.record.name)


def _place(run: Run) -> tuple[tuple[str, ...], int]:
    """Return the methods of a run's spec, and where among them its own stands; none, and 0, where nothing says it."""
    found = RunFolder(run.folder).manifest().get("methods") if run.folder else None
    said = tuple(map(str, found)) if isinstance(found, list) else ()
    method = run.record.method
    own = [method["label"], dict(method.get("tuned") or {}).get("family")]
    place = next((said.index(label) for label in own if label in said), None)
    return ((), 0) if place is None else (said, place)
