"""What may not be claimed from a comparison, as far as its own records tell."""

from __future__ import annotations

from collections.abc import Iterator

from secura_bench.report.comparing.pair import Pair, Side
from secura_bench.report.comparing.takes import IN_MOST, design
from secura_bench.report.comparing.words import Compared, listed, probability
from secura_bench.report.study.placing import Placing


def not_to_be_claimed(pair: Pair) -> Iterator[str]:
    """Yield what may not be claimed, each the end of a sentence that says so."""
    one, other = pair.one, pair.other
    sides = [side for side in (pair.kept, pair.learned) if not side.missing]
    if lonely := _lonely(one, other):
        yield (
            f"anything for the methods: {lonely}, so that intervals and p are of these runs' items only, and another "
            "seed may turn the order round"
        )
    for side in sides:
        yield from _of(side, pair)
    if not pair.in_percent and not pair.kept.missing:
        why = pair.one.retention.why or pair.other.retention.why
        yield f"anything of what was kept in percent of the base's score: {why}"
    if pair.kept.told in ("more", "less") and pair.learning != "equal":
        yield (
            f"that either forgets less at equal learning: learning is {pair.learning}, and a method that learns less "
            "keeps more"
        )
    for each in (one, other):
        if each.did_learn in ("no", "worse"):
            yield f"that {each.method} keeps in spite of learning: it was not shown to learn at all"
    if pair.instead:
        yield f"anything of {pair.protocol.main.heading}, the protocol's main metric: {pair.instead}"
    yield from filter(None, dict.fromkeys((pair.protocol.no_claim, pair.by[0].no_claim)))
    if pair.kept.among > 2 and any(side.told in ("more", "less") for side in sides):
        yield (
            f"that one of them is the best: p is of these two alone, as if no other of the {pair.kept.among} methods "
            "had been looked at; `report --table differences` is over all at once"
        )
    if pair.parts:
        yield f"anything of a single task: those lines are {len(pair.parts)} tests more, their p not adjusted"
    if pair.unshared:
        yield f"anything of {listed(pair.unshared)}, which one of them alone was trained on: left out of these numbers"
    yield from of_the_rows(pair)


def _of(side: Side, pair: Pair) -> Iterator[str]:
    same = "keep" if side.what == "kept" else "learn"
    if side.told == "untested":
        yield f"which of them {same}s more: there is no test"
    elif side.told == "open" and not side.within and side.equal is not None:
        yield (
            f"that they {same} the same: not told apart is not equal, and equality within ±{side.margin:g} {side.unit} "
            f"is not shown ({probability(side.equal)}){_to_equate(side)}"
        )
    elif side.told == "open" and side.within:
        yield f"that they {same} exactly the same: less than {side.margin:g} {side.unit} apart is not ruled out"
    elif side.within:
        yield f"that the difference in what they {same} matters: it is within ±{side.margin:g} {side.unit}"


def _to_equate(side: Side) -> str:
    if side.takes is None or not side.takes.known:
        return ""
    return f"; of two that are alike it is shown {IN_MOST} by {design(side.takes.to_equate)}"


def of_the_rows(pair: Compared) -> Iterator[str]:
    """Yield what may not be claimed of rows, tasks and models that were not there."""
    study = pair.study
    if study.limit is not None:
        yield f"anything of rows that were not scored: of each trained task at most {study.limit} test rows were"
    notes = {name: note.stand_in for run in study.runs for name, note in run.record.data.items() if note.stand_in}
    for name, stand_in in sorted(notes.items()):
        yield f"anything of the paper's own {name}: here it is {stand_in}"
    settings = "these tasks and settings" if len(pair.tasks) > 1 else "this task and these settings"
    yield f"anything of other models, tasks, learning rates or lengths: this is {study.model}, {settings}"


def _lonely(one: Placing, other: Placing) -> str:
    """Return which of the methods was trained under one seed, and on what."""
    once = {each.method: [arm.trained_on for arm in each.arms if len(arm.runs) == 1] for each in (one, other)}
    if once[one.method] == once[other.method] != []:
        return f"both have one seed on {listed(once[one.method])}"
    return " and ".join(f"{method} has one seed on {listed(tasks)}" for method, tasks in once.items() if tasks)
