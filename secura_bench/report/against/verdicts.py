"""This bench's numbers beside published ones: what each comparison comes to, why, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from string import ascii_lowercase

from secura_bench.publications.flaws import kinds
from secura_bench.publications.place import Place
from secura_bench.publications.publication import Publication
from secura_bench.report.against.ranks import rank_correlation
from secura_bench.report.study.cells import Cell
from secura_bench.report.tables.table import Column, Number, Row

VERDICTS = {
    "same": "to the printed digits",
    "within": "the published number lies in the 95 % prediction interval of one more run here, on as many items",
    "higher": "this bench's number, and its prediction interval, lie above the published one",
    "lower": "they lie below it",
    "one seed": "it differs; one seed here: whether by chance cannot be said",
    "no interval": "it differs, and without seeds or items to resample it cannot be said whether by chance",
    "other": "another count, for the reasons below",
    "n/c": "not comparable, for the reasons below",
    "not run": "no record here",
}
"""What a comparison with a published number can come to."""
REASONED = ("n/c", "other")
"""The verdicts that are told with their reasons."""
UNPUBLISHED = "the paper has no number here"


def beside(publication: Publication, cell: Cell, place: Place, reasons: Sequence[str]) -> Number:
    """Return a cell beside the number printed in ``place``, if one is; ``reasons`` say why not to compare them."""
    published = publication.values.get(place)
    about = publication.wrong.get(place, ()), publication.remarked.get(place, ())
    lacking = () if published is not None else (UNPUBLISHED,)
    if cell.missing:
        return Number(cell, False, published, None, "not run", (*lacking, cell.why or "no record"), *about)
    if published is None or reasons:
        return Number(cell, False, published, _less(cell, published), "n/c", (*lacking, *reasons), *about)
    difference = cell.value - published
    if abs(difference) <= publication.tolerance(place) + 1e-9:
        return Number(cell, False, published, difference, "same", (), *about)
    if cell.predicted is None:
        one = cell.items_only or len(cell.seeds) == 1
        verdict, why = ("one seed", "") if one else ("no interval", cell.why)
        return Number(cell, False, published, difference, verdict, (why,) if why else (), *about)
    verdict = "within" if published in cell.predicted else "higher" if difference > 0 else "lower"
    return Number(cell, False, published, difference, verdict, (), *about)


def _less(cell: Cell, published: float | None) -> float | None:
    return None if published is None else cell.value - published


def marked(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return rows whose verdicts name their reasons by letters, and what the letters stand for.

    A reason that all share is told once and has no letter.
    """
    reasoned = [e for row in rows for e in row.entries if isinstance(e, Number) and e.verdict in REASONED]
    counts: dict[str, int] = {}
    for entry in reasoned:
        for reason in entry.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    shared = [reason for reason, count in counts.items() if count == len(reasoned)]
    letters = dict(zip((reason for reason in counts if reason not in shared), _letters(len(counts)), strict=False))
    words = " and ".join(verdict for verdict in REASONED if any(entry.verdict == verdict for entry in reasoned))
    lines = [f"{words}, all {how_many(len(reasoned))}: {'; '.join(shared)}."] if shared else []
    lines += [f"{letter}, {how_many(counts[reason])}: {reason}." for reason, letter in letters.items()]

    def mark(entry: str | Number) -> str | Number:
        if isinstance(entry, str) or entry.verdict not in REASONED:
            return entry
        mine = [letters[reason] for reason in entry.reasons if reason in letters]
        return replace(entry, marks=("" if len(letters) <= len(ascii_lowercase) else " ").join(sorted(mine)))

    return [replace(row, entries=tuple(map(mark, row.entries))) for row in rows], lines


def _letters(count: int) -> list[str]:
    """Return so many letters: a to z, then a2 to z2, and so on."""
    return [f"{ascii_lowercase[i % 26]}{i // 26 + 1 if i > 25 else ''}" for i in range(count)]


def how_many(count: int) -> str:
    """Return so many numbers, in words."""
    return "1 number" if count == 1 else f"{count} numbers"


def verdicts(rows: Sequence[Row], reasons: Sequence[str], source: str) -> list[str]:
    """Return what the comparison came to: verdicts, the ``reasons`` behind them, flaws of the published numbers.

    ``source`` is where those are from.
    """
    numbers = [entry for row in rows for entry in row.entries if isinstance(entry, Number) and entry.verdict]
    compared = [entry for entry in numbers if entry.published is not None or not entry.cell.missing]
    counts = {verdict: sum(entry.verdict == verdict for entry in compared) for verdict in VERDICTS}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    told = [f"{verdict}: {meaning}" for verdict, meaning in VERDICTS.items() if counts[verdict]]
    marks = ["!: the published number cannot be right"] if any(entry.flaws for entry in compared) else []
    wrong = kinds([flaw for entry in compared for flaw in entry.flaws])
    return [
        f"In parentheses: the paper's number, where it has one ({source}), this bench's less it, where they compare, "
        f"and the verdict. {'; '.join([*told, *marks])}. Of {how_many(len(compared))}: {said}.",
        *reasons,
        *(f"!, {how_many(count)}: {flaw}." for flaw, count in wrong.items()),
    ]


def remarks(rows: Sequence[Row]) -> list[str]:
    """Return what must be known of the published numbers that are shown, with of how many it is true."""
    said = [each for row in rows for entry in row.entries if isinstance(entry, Number) for each in entry.remarks]
    return [f"Of the published, {how_many(count)}: {kind}." for kind, count in kinds(said).items()]


def ranks(rows: Sequence[Row], columns: Sequence[Column], by_section: bool) -> list[str]:
    """Return how the methods' order by mean score agrees with the published one, section by section if so wanted."""
    groups: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        for column, entry in zip(columns, row.entries, strict=True):
            if isinstance(entry, Number) and entry.published is not None and not entry.cell.missing:
                of = {**row.of, **column.of}
                section = row.section if by_section else ""
                pairs = groups.setdefault(section, {}).setdefault(of["method"], [])
                pairs.append((entry.cell.value, entry.published))
    orders = []
    for section, methods in groups.items():
        complete = max(map(len, methods.values()))
        means = [
            (sum(ours for ours, _ in pairs) / len(pairs), sum(theirs for _, theirs in pairs) / len(pairs))
            for pairs in methods.values()
            if len(pairs) == complete
        ]
        found = rank_correlation([ours for ours, _ in means], [theirs for _, theirs in means])
        if found:
            where = f"{section}: " if section else ""
            orders.append(f"{where}{len(means)} methods, ρ {found[0]:.2f}, τ {found[1]:.2f}")
    if not orders:
        return []
    what = "Order of the methods by mean score against the published order (Spearman's ρ, Kendall's τ; 1 is the same)"
    return [f"{what}. {'; '.join(orders)}."]
