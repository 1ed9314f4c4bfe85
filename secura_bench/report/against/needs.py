"""What records a publication's tables are made from, in words: said where there are none."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.publications.publication import Publication
from secura_bench.report.against.shapes import Part, shapes_of
from secura_bench.report.tables import footnotes


def needs(publication: Publication, wanted: Sequence[str]) -> list[str]:
    """Return what the ``wanted`` of a publication's tables need, a sentence for all that need the same."""
    known = shapes_of(publication)
    by_need: dict[str, list[str]] = {}
    for shape in (known[name] for name in wanted if name in known):
        for part in shape.parts:
            by_need.setdefault(_need(part), []).append(shape.id)
    called = publication.file.short or publication.name
    return [
        f"{called}'s {footnotes.some([*dict.fromkeys(tables)])} {'needs' if len({*tables}) == 1 else 'need'} {need}."
        for need, tables in by_need.items()
    ]


def _need(part: Part) -> str:
    """Return what a part of a table is read from: whose scores, after which tasks, of which probe."""
    scores = f"{' and '.join(part.protocols)} scores after {footnotes.some(list(part.tasks))}"
    how = "in sequence" if part.mode == "sequence" else "each alone"
    probe = f", with the probe {part.of.probe}" if part.probed and part.of.probe else ""
    return f"{scores}, {how}{probe}"
