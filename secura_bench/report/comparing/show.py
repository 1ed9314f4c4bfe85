"""A comparison for the eye: its numbers as a table, the sentence to quote, and what may not be claimed from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secura_bench.foundation.harmless import plain_note
from secura_bench.report.comparing.at_equal_learning import limits_of, sentence_of
from secura_bench.report.comparing.beside_base import BesideBase, base_limits, base_sentence, base_table
from secura_bench.report.comparing.curves import Curves
from secura_bench.report.comparing.limits import not_to_be_claimed
from secura_bench.report.comparing.pair import Pair, Side
from secura_bench.report.comparing.show_curves import table_of_curves
from secura_bench.report.comparing.words import probability, sentence
from secura_bench.report.formats.text import notes_under
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import Cell
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import SEPARATE, place_of
from secura_bench.report.tables.note import brief
from secura_bench.report.tables.table import Column, Number, Row, Table

Told = Pair | Curves | BesideBase
"""What ``compare`` finds: two methods, two curves of settings, or one method beside the base."""
_TOLD = {"open": "not told apart", "untested": "no test"}


def table_of(pair: Pair) -> Table:
    """Return a comparison's numbers, in mode separate the single tasks' below their mean."""
    one, other = pair.one.method, pair.other.method
    ends = [Column(name, digits=1, interval="ends") for name in (one, other, "difference")]
    spare = {"test": 1, "items / groups": 2}  # what the sentence names, and what is least looked at
    held = f"equal within ±{pair.kept.margin:g}"
    texts = ("test", "verdict", held, "items / groups", "seeds")
    labels = [Column(name, "label", spare=spare.get(name, 0)) for name in texts]
    columns = (Column("trained on", "label"), Column("score", "label"), *ends, Column("p", digits=4), *labels)
    whole = pair.tasks[0] if len(pair.tasks) == 1 else f"{len(pair.tasks)} tasks"
    sections = [(f"{SEPARATE} {len(pair.parts)}" if pair.parts else whole, pair)]
    sections += [(part.tasks[0], part) for part in pair.parts]
    rows = tuple(_row(name, side, each) for name, each in sections for side in (each.learned, each.kept))
    title = f"{pair.study.title} · {pair.protocol.heading} · {one} less {other}"
    return Table("compare", title, columns, rows, tuple(footnotes.marks()), place_of(pair.study, pair.protocol))


def lines_of(found: Told) -> Iterator[str]:
    """Yield what stands below the table: the sentence, and what does not follow from it."""
    if isinstance(found, Curves):
        said, limits = sentence_of(found), limits_of(found)
    elif isinstance(found, BesideBase):
        said, limits = base_sentence(found), base_limits(found)
    else:
        said, limits = sentence(found), not_to_be_claimed(found)
    yield "To quote:"
    yield f"  {plain_note(said)}"
    yield "It may not be claimed from this:"
    yield from (f"  - {plain_note(limit)}" for limit in limits)


def _table(found: Told) -> Table:
    if isinstance(found, Curves):
        return table_of_curves(found)
    return base_table(found) if isinstance(found, BesideBase) else table_of(found)


def print_pairs(found: Sequence[Told]) -> None:
    """Print comparisons to standard output."""
    from rich.console import Console
    from rich.text import Text

    from secura_bench.report.formats.terminal import PIPED, print_tables

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED)
    tables = [_table(each) for each in found]
    for each, table in zip(found, tables, strict=True):
        print_tables([Table(table.id, table.title, table.columns, table.rows, (), table.of)])
        for line in lines_of(each):
            console.print(Text(line), soft_wrap=True)
        console.print()
    for note in dict.fromkeys(brief(note) for table in tables for note in notes_under(table)):
        console.print(Text(note, style="dim"))


def _row(section: str, side: Side, pair: Pair) -> Row:
    found = side.comparison
    gap = Cell() if found is None else Cell(found.difference, found.interval, items_only=found.items_only)
    metric, learned = pair.metric.heading, pair.told_by or pair.by[1].heading
    kept = f"kept % of {metric}" if pair.in_percent else f"probe {metric}"
    numbers = (Number(side.one), Number(side.other), Number(gap), Number(Cell(found.p) if found else Cell()))
    words = (
        found.test if found else "–",
        _TOLD.get(side.told, side.told),
        _equal(side),
        f"{found.n} / {found.groups}" if found else "–",
        f"{_seeds(pair.one.arms)} / {_seeds(pair.other.arms)}",
    )
    score = f"learned {learned}" if side.what == "learned" else kept
    return Row((section, score, *numbers, *words), {"sequence": section, "role": side.what}, section)


def _equal(side: Side) -> str:
    if side.equal is None or side.told == "one seed":
        return "–"
    return f"{'yes' if side.within else 'not shown'}, {probability(side.equal)}"


def _seeds(arms: Sequence[Arm]) -> str:
    """Return how many seeds there are: of several tasks the least and the most."""
    counts = sorted({len(arm.runs) for arm in arms})
    return "–".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
