"""The tables of any experiment: who learned, who forgot, along which path, at what cost, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from secura_bench.report.study.protocols import PROTOCOLS, Protocol
from secura_bench.report.study.study import Study
from secura_bench.report.tables.cost import cost
from secura_bench.report.tables.differences import differences
from secura_bench.report.tables.forgetting import forgetting
from secura_bench.report.tables.frontier import frontier
from secura_bench.report.tables.logged import merges, norms
from secura_bench.report.tables.retention import retention
from secura_bench.report.tables.sequence import continual, matrix
from secura_bench.report.tables.table import Table
from secura_bench.report.tables.tuning import tuning


def general_tables(studies: Sequence[Study], wanted: Sequence[str], reference: str = "") -> Iterator[Table]:
    """Yield the ``wanted`` tables of every study, those of one study together; differences are from ``reference``."""
    compared = {
        "frontier": partial(frontier, reference=reference),
        "differences": partial(differences, reference=reference),
    }
    makers: dict[str, TableMaker] = {**BY_PROTOCOL, **compared}
    for study in studies:
        for protocol in study.protocols:
            for name in wanted:
                if name in makers:
                    yield from makers[name](study, protocol_of(protocol))
        for name in wanted:
            if name in BY_STUDY:
                yield from BY_STUDY[name](study)


def protocol_of(name: str) -> Protocol:
    """Return what is known of a protocol; one that the package does not know has its accuracy shown."""
    return PROTOCOLS.get(name) or Protocol(name, ("accuracy",), ("accuracy",), "of a plug-in")


TableMaker = Callable[[Study, Protocol], Iterator[Table]]
BY_PROTOCOL: dict[str, TableMaker] = {
    "frontier": frontier,
    "retention": retention,
    "continual": continual,
    "matrix": matrix,
    "differences": differences,
}
BY_STUDY: dict[str, Callable[[Study], Iterator[Table]]] = {
    "losses": forgetting,
    "cost": cost,
    "merges": merges,
    "norms": norms,
    "tuning": tuning,
}
GENERAL = ("frontier", "retention", "continual", "matrix", "losses", "cost", "merges")
"""The tables that a report shows if none is named."""
