"""What a spec's seeds and rows would tell, as plain text of at most 80 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from secura_bench.foundation.harmless import plain_note
from secura_bench.foundation.wording import about
from secura_bench.report.comparing.pair import Pair
from secura_bench.report.comparing.planned import Foreseen
from secura_bench.report.comparing.takes import IN_MOST
from secura_bench.report.comparing.words import by, listed
from secura_bench.report.statistics import ENOUGH, ENOUGH_GROUPS, MOST_ROWS, MOST_SEEDS
from secura_bench.report.study.arms import Arm


def power_text(
    found: Sequence[Foreseen], without: Sequence[tuple[str, str]], model: str, points: float, where: str
) -> Iterator[str]:
    """Yield the lines; ``without`` are pairs of which there are no records below ``where``."""
    if found:
        seeds = found[0].seeds
        yield f"Power of {seeds} seed{'s' * (seeds > 1)} of either method"
        yield _row("", "rows", "tells", f"{points:g} points take")
        yield "─" * 79
        for (one, other), scores in groupby(found, lambda each: (each.one, each.other)):
            mine = list(scores)
            yield plain_note(f"{one} less {other}")
            for each in mine:
                yield _row(f"  {_score(each)}", f"{each.takes.components.n:,}", _tells(each), _take(each))
            for source in dict.fromkeys(_source(each.pair, model) for each in mine):
                yield from _wrapped(f"  by {source}", 4)
        yield ""
    for note in _notes(found, without, where):
        yield from _wrapped(note, 2)


def _row(score: str, rows: str, tells: str, take: str) -> str:
    return f"{score:<38} {rows:>8} {tells:>9} {take:>21}"


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, 79, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _score(each: Foreseen) -> str:
    what = each.side.what if each.side.what == "learned" else "kept %," if each.pair.in_percent else "probe"
    return f"{what} {by(each.pair.protocol, each.pair.metric)}"


def _tells(each: Foreseen) -> str:
    """Return the smallest difference that is told, rounded up."""
    known = each.takes.known
    smallest = each.smallest if known else each.smallest_at_least
    if not 0 < smallest < math.inf or each.seeds == 1:
        return "–"
    return f"{'' if known else '> '}{math.ceil(10 * smallest) / 10:.1f}" if smallest <= 100 else "> 100"


def _take(each: Foreseen) -> str:
    if each.takes.known:
        design = each.takes.to_tell
        return f"{design.seeds} seeds of {about(design.rows)}" if design else f"> {MOST_SEEDS} seeds"
    answers = each.takes.answers
    return f"> {about(answers)} answers" if answers else "–"


def _source(pair: Pair, model: str) -> str:
    """Return from which runs the variances are."""
    study = pair.study
    another = "" if study.model == model else f", which is not {model}"
    sides = list(dict.fromkeys(_seeds(each.arms) for each in (pair.one, pair.other)))
    return plain_note(
        f"{study.experiment} on {study.model}{another}, trained on {listed(pair.tasks)}, {' and '.join(sides)}"
    )


def _seeds(arms: Sequence[Arm]) -> str:
    counts = sorted({len(arm.runs) for arm in arms})
    return f"{'–'.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seed{'s' * (counts[-1] > 1)}"


def _notes(found: Sequence[Foreseen], without: Sequence[tuple[str, str]], where: str) -> Iterator[str]:
    if found:
        yield (
            f"'tells': the smallest difference that is told apart {IN_MOST}, of kept in percent points of the base's "
            f"score. 'rows' are of all tasks together. The variances of a few seeds are not known well: read every "
            f"number as 'about'."
        )
        if any(_tells(each) == "–" for each in found):
            yield (
                f"'–': nothing is told by one seed, by fewer than {ENOUGH} rows or {ENOUGH_GROUPS} groups of them, and "
                "of items that do not differ."
            )
        if not all(each.takes.components.seeds_known for each in found):
            yield (
                "'>': there is one seed in those records, so that what others add is unknown, and it takes more: of "
                "answers a method, seeds times rows. Two seeds of each would show it."
            )
        if any(each.takes.known and each.takes.to_tell is None for each in found):
            yield f"'> {MOST_SEEDS} seeds': or more than {MOST_ROWS:,} rows."
    for one, other in without:
        yield plain_note(
            f"{one} less {other}: unknown, for no records of both on these tasks and this probe are below {where}; "
            "two seeds of each would do (--set seeds=[1,2])."
        )
