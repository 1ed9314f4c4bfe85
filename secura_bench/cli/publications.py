"""Whose numbers this bench's can be set beside, and what is found of them by rules."""

from __future__ import annotations

from collections import Counter

from secura_bench.cli.listing import Listing
from secura_bench.publications.flaws import Flaw, kinds
from secura_bench.publications.publication import Publication, publication, shipped_publications
from secura_bench.report.against.unmatched import unmatched


def publications() -> Listing:
    """List the publications that ship: tables, numbers, how many are wrong, and of how many something must be known."""
    rows = []
    for name in shipped_publications():
        found = publication(name)
        file = found.file
        secondary = sum((table.kind or file.kind) == "secondary" for table in file.tables.values())
        tables = f"{len(file.tables)}{f' ({secondary} secondary)' if secondary else ''}"
        title = file.title if file.arxiv is None else f"{file.title} (arXiv {file.arxiv})"
        rows.append((name, title, tables, str(len(found.numbers)), str(len(found.wrong)), str(len(found.remarked))))
    notes = [
        "secondary: somebody's copy; wrong: numbers that cannot be right; noted: numbers of which something else must "
        "be known. `ls publications NAME` says what.",
        "`report --against NAME` sets this bench's numbers beside; NAME may be a YAML file of your own.",
    ]
    return Listing(("name", "title", "tables", "numbers", "wrong", "noted"), rows, notes)


def one_publication(name: str) -> Listing:
    """List the tables of one publication, and below them what is found of its numbers."""
    found = publication(name)
    file = found.file
    numbers = Counter(place.table for place in found.numbers)
    wrong, noted = (Counter(place.table for place in places) for places in (found.wrong, found.remarked))
    rows = []
    for id_, table in file.tables.items():
        counted = (str(numbers[id_]), str(wrong[id_] or ""), str(noted[id_] or ""))
        source = found.source(id_) if table.file is not None else ""
        rows.append((id_, table.caption, "" if table.layout == "listed" else "yes", *counted, source))
    notes = [f"{file.title}. {file.source}.", *file.notes]
    notes += unmatched(found)
    notes += [line for flaw in found.flaws for line in _lines(found, flaw)]
    return Listing(("table", "", "--against", "numbers", "wrong", "noted", "from"), rows, notes)


def _lines(found: Publication, flaw: Flaw) -> list[str]:
    """Return what a rule found, a line a kind, each with the places of the first few."""
    mark = "! " if flaw.wrong else ""
    if not flaw.places:
        return [f"{flaw.rule}: {flaw.said}."]
    lines = []
    for kind, count in kinds(list(flaw.places.values())).items():
        place, said = next((place, said) for place, said in flaw.places.items() if said.startswith(kind))
        where = f"table {place.table}, {place.spelled}: {found.values[place]:g}"
        rest = said.removeprefix(kind).lstrip(":").strip()
        lines.append(f"{mark}{flaw.rule}, {count}: {kind}. For one {where}{' · ' if rest else ''}{rest}.")
    return lines
