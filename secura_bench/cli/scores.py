"""What `ls protocols` and `ls metrics` list: the ways to score, and what comes of each."""

from __future__ import annotations

from secura_bench.cli.listing import Listing
from secura_bench.report.study.protocols import METRICS, PROTOCOLS


def protocols() -> Listing:
    """List the scoring protocols: the metric that speaks for each, and what a reader must know of it."""
    rows = [(each.id, each.main.id, each.meaning) for each in PROTOCOLS.values()]
    return Listing(("protocol", "main metric", ""), rows)


def metrics() -> Listing:
    """List the metrics: what tables call each, which way is better, and what it is."""
    rows = [
        (each.id, each.heading, "higher" if each.percent else "–" if each.id == "tokens" else "lower", each.meaning)
        for each in METRICS.values()
    ]
    note = "evaluate: metrics: [evaluate:ID] adds one of the evaluate package, by its id there or the path of a folder."
    return Listing(("metric", "in tables", "better", ""), rows, [note])
