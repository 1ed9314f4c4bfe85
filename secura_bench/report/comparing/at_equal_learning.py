"""What two curves say at equal learning, in words: the sentence to quote, and what may not be claimed from it."""

from __future__ import annotations

from collections.abc import Iterator

from secura_bench.report.comparing.curves import Curves
from secura_bench.report.comparing.limits import of_the_rows
from secura_bench.report.comparing.words import number, probability, these_two, where
from secura_bench.report.study.frontier import FEW, NARROW, Line


def sentence_of(curves: Curves) -> str:
    """Return what can be quoted of two methods at equal learning: one sentence, no stronger than its numbers."""
    return f"{where(curves)}, {said(curves)}."


def said(curves: Curves) -> str:
    """Return the claim of the sentence, its numbers, and from what they are."""
    one, other, shared, found = curves.one, curves.other, curves.shared, curves.gap
    if shared is None or found is None:
        return (
            f"nothing can be said of {one.name} and {other.name} at equal learning: {one.name} learned "
            f"{_reach(one.learned)}, {other.name} {_reach(other.learned)}"
        )
    of = f"of the base's {_probe(curves)}" if curves.frontier.in_percent else f"on {_probe(curves)}"
    sign = 1 if found.value >= 0 else -1
    amount = number(abs(found.value))
    direction = "apart" if amount == "0.0" else "more" if sign > 0 else "less"
    claims = {
        "more": f"{one.name} keeps more than {other.name}",
        "less": f"{one.name} keeps less than {other.name}",
        "open": f"whether {one.name} or {other.name} keeps more is open",
        "one seed": f"in these runs {one.name} beside {other.name} kept",
        "untested": f"{one.name} beside {other.name} kept",
    }
    claim = claims[curves.told]
    if curves.within and curves.told == "open":
        claim = f"{one.name} keeps as much as {other.name}"
    colon = "" if claim.endswith("kept") else ":"
    return (
        f"at equal learning {claim}{colon} {amount} {curves.frontier.unit} {of} {direction} "
        f"({_how_sure(curves, sign)}), mean over learning {_reach(shared)}{_told_by(curves)}, by {_from(one)} of "
        f"{one.name} and {_from(other)} of {other.name}{_n(found.n)}"
    )


def limits_of(curves: Curves) -> Iterator[str]:
    """Yield what may not be claimed, each the end of a sentence that says so."""
    one, other, shared = curves.one, curves.other, curves.shared
    if lonely := [line.name for line in (one, other) if line.seeds[0] == 1]:
        yield (
            f"anything for the methods: {' and '.join(lonely)} {'have' if lonely[1:] else 'has'} one seed, so that "
            "intervals and p are of these runs' items only, and another seed may turn the order round"
        )
    if curves.told == "untested":
        yield "which of them keeps more at equal learning: there is no test"
    elif curves.told == "open" and not curves.within and curves.equal is not None:
        yield (
            f"that they keep the same: not told apart is not equal, and equality within ±{curves.margin:g} "
            f"{curves.frontier.unit} is not shown ({probability(curves.equal)})"
        )
    elif curves.within:
        yield f"that the difference matters: it is within ±{curves.margin:g} {curves.frontier.unit}"
    if shared is not None:
        yield f"anything of learning beyond {_reach(shared)}, which is what both grids reach"
        yield "anything of settings between those that were run, but that a straight line leads from one to the next"
    sizes = [len(line.placings) + len(line.lacking) for line in (one, other)]
    if sizes[0] != sizes[1]:
        yield f"that both were tuned with equal care: settings of {one.name} {sizes[0]}, of {other.name} {sizes[1]}"
    for line in (one, other):
        if line.beaten:
            yield f"anything of {', '.join(line.beaten)}: {line.name} learned and kept more at another setting"
        if line.lacking:
            yield f"anything of {', '.join(line.lacking)}: diverged, or not scored"
    if curves.frontier.instead:
        yield f"anything of {curves.protocol.main.heading}, the protocol's main metric: {curves.frontier.instead}"
    yield from filter(None, dict.fromkeys((curves.protocol.no_claim, curves.frontier.learning.no_claim)))
    if curves.among > 2 and curves.told in ("more", "less"):
        yield (
            f"that one of them is the best: p is of these two alone of {curves.among} methods; "
            "`report --table frontier` adjusts it for all"
        )
    yield from of_the_rows(curves)


def _how_sure(curves: Curves, sign: int) -> str:
    found = curves.gap
    if found is None or found.interval is None or found.p is None:
        return f"no interval: {FEW if found is None or found.n == 0 else NARROW}"
    low, high = sorted((sign * found.interval.low, sign * found.interval.high))
    over = "items only" if found.items_only else "items and seeds"
    equal = ""
    if curves.equal is not None and curves.told == "open":
        shown = "equal" if curves.within else "not shown to be equal"
        equal = f"; {shown} within ±{curves.margin:g}, {probability(curves.equal)}"
    p = probability(found.p) + these_two(curves.told, curves.among)
    return f"{number(low)} to {number(high)}; bootstrap over {over}, {p}{equal}"


def _probe(curves: Curves) -> str:
    return curves.study.probe_of(curves.protocol.id)


def _reach(reach: tuple[float, float]) -> str:
    return f"{number(reach[0])} to {number(reach[1])}" if reach[0] < reach[1] else number(reach[0])


def _told_by(curves: Curves) -> str:
    return f" ({curves.frontier.elsewhere})" if curves.frontier.elsewhere else ""


def _from(line: Line) -> str:
    settings, (least, most) = len(line.placings), line.seeds
    seeds = f"{least} seed{'s' * (least > 1)}" if least == most else f"{least} to {most} seeds"
    return f"{settings} setting{'s' * (settings > 1)} ({seeds}{' each' * (settings > 1 and least == most)})"


def _n(n: int) -> str:
    return f", on {n} probe items" if n else ""
