"""The table of methods at equal learning: a row a method, its settings taken together as a curve."""

from __future__ import annotations

from collections.abc import Iterator

from secura_bench.report.statistics.frontier import Level
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.frontier import FEW, NARROW, Frontier, Line, every_frontier
from secura_bench.report.study.protocols import Protocol
from secura_bench.report.study.study import Study
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import LABEL, place_of, title_of, with_numbers
from secura_bench.report.tables.note import Note, unsaid
from secura_bench.report.tables.table import Column, Number, Row, Table


def frontier(study: Study, protocol: Protocol, reference: str = "") -> Iterator[Table]:
    """Yield what methods keep at equal learning, and by how much more than the ``reference``, or the first of them.

    Nothing where no method has several settings.
    """
    found = next((each for each in every_frontier(study, reference) if each.protocol.id == protocol.id), None)
    if found is None:
        return
    first = found.lines[0]
    kept, at = "kept %" if found.in_percent else f"probe {found.metric.heading}", f"{found.at:.1f}"
    of = f"{found.metric.id}:retention" if found.in_percent else found.metric.id
    columns = [
        LABEL,
        Column("settings", "label", spare=2),
        Column(f"learned {found.learned.heading}", "label"),
        Column(f"at {at}", of={"role": "probe", "metric": of, "learned": at}, group=kept, digits=1, interval="ends"),
        Column(f"less {first.name}", of={"metric": f"{of}:difference", "learned": at}, group=f"at {at}", digits=1,
               interval="ends", spare=1),
        Column(f"less {first.name}", of={"metric": f"{of}:difference"}, group="mean", digits=1,
               interval="ends"),
        Column("over", "label", spare=3),
        Column("p all", of={"metric": "p:all"}, digits=4),
        Column("verdict", "label"),
        Column("seeds", "label", spare=4),
    ]  # fmt: skip
    shown, rows = with_numbers(columns, list(_rows(found)))
    by = f" by {found.elsewhere}" if found.elsewhere else ""
    title = f"{title_of(study, protocol)} · at equal learning{by}, less {first.name}"
    notes = (_reading(found), *_gaps(found), *footnotes.marks(), *footnotes.notes([study], protocol.id, ()))
    yield Table("frontier", title, tuple(shown), tuple(rows), notes, place_of(study, protocol))


def _rows(found: Frontier) -> Iterator[Row]:
    first = found.lines[0]
    against = {each.line.name: each for each in found.against_first}
    for line in found.lines:
        mine, shared = against.get(line.name), found.common(line, first)
        entries = (
            line.name,
            settings_in_words(line),
            reach_in_words(line.learned),
            Number(cell_of(found.kept(line), f"does not reach {found.at:.1f}")),
            Number(cell_of(found.gap_at(line, first) if mine else None)),
            Number(cell_of(mine.gap if mine else None)),
            "" if mine is None else reach_in_words(shared) if shared else "nothing",
            Number(Cell() if mine is None or mine.adjusted is None else Cell(mine.adjusted)),
            mine.verdict if mine else "reference",
            "–".join(map(str, dict.fromkeys(line.seeds))),
        )
        yield Row(entries, {"method": line.name}, "", mine is None)


def cell_of(found: Level | None, why: str = "nothing in common") -> Cell:
    """Return a number at equal learning as a cell; ``why`` says why there is none."""
    if found is None:
        return Cell(spread=why)
    few = FEW if found.n == 0 else NARROW
    return Cell(found.value, found.interval or few, found.n, items_only=found.items_only)


def settings_in_words(line: Line) -> str:
    """Return how many settings of what a curve has, from which to which."""
    key = line.family.key.removeprefix("train.").removeprefix("methods.")
    if len(line.values) == 1:
        return f"1: {key} {line.values[0]:g}" if key else "1"
    return f"{len(line.values)}: {key} {line.values[0]:g} to {line.values[-1]:g}"


def reach_in_words(reach: tuple[float, float]) -> str:
    """Return the least and the most that was learned."""
    return f"{reach[0]:.1f} to {reach[1]:.1f}" if reach[0] < reach[1] else f"{reach[0]:.1f}"


def _reading(found: Frontier) -> Note:
    first, instead = found.lines[0].name, f" By {found.metric.heading}: {found.instead}." if found.instead else ""
    of = f"{found.learning.heading} {found.learned.heading}"
    return Note(
        f"A method's settings make a line of learned ({of}, right after training) against kept, straight between "
        "neighbours; past the setting that learned most, those that learned and kept less are left out. "
        f"Less {first}: at one learning, and the area between both lines over the learning that both reach, by its "
        "width. Nothing is said beyond the settings. p all: of that mean, two-sided, adjusted over the methods of "
        f"several seeds (Holm); nothing is judged by one seed.{instead}",
        f"At equal learning, on straight lines between a method's settings; mean: the area between it and {first}, by "
        f"its width; nothing beyond the settings.{instead}",
    )


def _gaps(found: Frontier) -> Iterator[str]:
    """Yield what the grids lack: settings without a place, curves of one point, levels that are not reached."""
    for line in found.lines:
        if line.lacking:
            yield f"{line.name}: without a place, for they diverged or lack a score: {', '.join(line.lacking)}."
        if out := line.beaten:
            yield unsaid(f"{line.name}: past the curve's end, where it learned and kept less: {', '.join(out)}.")
    if edge := [line.name for line in found.lines if line.on_the_edge]:
        yield f"Learned most on the grid's edge, beyond which there may be more: {', '.join(edge)}."
    apart = [line.name for line in found.lines if not found.reaches(line)]
    if apart:
        yield f"Learning {found.at:.1f} lies beyond the grid of {', '.join(apart)}."
