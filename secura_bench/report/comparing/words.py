"""A comparison in words, the same wherever it is told: on the page, by ``compare``, in the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol as Typed

from secura_bench.report.comparing.pair import Pair, Side
from secura_bench.report.comparing.takes import IN_MOST, design
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.protocols import Metric, Protocol
from secura_bench.report.study.study import Study


def value(cell: Cell, unit: str = " %") -> str:
    """Return a number with its interval, as ``63.1 % (58.0 to 68.2)``; an interval of one seed says so."""
    if cell.missing:
        return f"unknown ({cell.why or 'not scored'})"
    if cell.interval is None:
        return f"{cell.value:.1f}{unit} (no interval: {cell.why or 'unknown'})"
    once = ", items only" if cell.items_only else ""
    return f"{cell.value:.1f}{unit} ({number(cell.low)} to {number(cell.high)}{once})"


def listed(names: Sequence[str]) -> str:
    """Return names as an English list."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def probability(p: float) -> str:
    """Return ``p 0.032``, never 0."""
    return "p < 0.001" if p < 0.001 else f"p {p:.2g}"


def gap(side: Side) -> str:
    """Return by how much the first method is ahead or behind: ``3.8 percent points more (0.5 to 7.1; TEST, p 0.02)``.

    The interval is of what is said: of 3 less, −1 to 7 is from 1 more to 7 less.
    """
    found = side.comparison
    if found is None:
        return "untested: too few items, or they are not recorded"
    sign = 1 if found.difference >= 0 else -1
    low, high = sorted((sign * found.interval.low, sign * found.interval.high))
    amount = number(abs(found.difference))
    direction = "apart" if amount == "0.0" else "more" if sign > 0 else "less"
    test = f"{found.test} of the items only" if found.items_only else found.test
    p = probability(found.p) + these_two(side.told, side.among)
    return f"{amount} {side.unit} {direction} ({number(low)} to {number(high)}; {test}, {p})"


def these_two(told: str, among: int) -> str:
    """Return what a p of two methods that are told apart must say where there are others: that it is of these alone."""
    return f" for these two of {among} methods" if among > 2 and told in ("more", "less") else ""


def equality(side: Side) -> str:
    """Return whether both are shown to be equal within the margin, by which tests; of what is not judged nothing.

    Where they are not told apart either: what it takes to tell as much.
    """
    if side.equal is None or side.told == "one seed":
        return ""
    shown = "equal" if side.within else "not shown to be equal"
    takes = ""
    if side.unanswered and side.takes and side.takes.known:
        takes = f"; {side.margin:g} points apart are told {IN_MOST} by {design(side.takes.to_tell)}"
    return f"{shown} within ±{side.margin:g} {side.unit} (two one-sided tests, {probability(side.equal)}{takes})"


def sentence(pair: Pair) -> str:
    """Return what can be quoted of a comparison: one sentence, no stronger than its numbers."""
    return f"{where(pair)}, {_kept(pair)}, {_learned(pair)}."


class Compared(Typed):
    """What is compared: of which study, after which tasks, by which protocol and metric."""

    @property
    def study(self) -> Study:
        """The study, of what is compared alone."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that all were trained on, in order."""

    @property
    def protocol(self) -> Protocol:
        """The protocol by which what was kept is told."""

    @property
    def metric(self) -> Metric:
        """The metric that speaks for it."""


def where(pair: Compared) -> str:
    """Return on what, after what and by what two methods are compared."""
    tasks, count = listed(pair.tasks), len(pair.tasks)
    alone = pair.study.mode == "separate" and count > 1
    orders = len(pair.study.sequences)
    several = f" (means of {orders} orders)" if orders > 1 else ""
    after = f"each of {tasks} alone (means of {count})" if alone else tasks
    after += f" in sequence{several}" if pair.study.mode == "sequence" and count > 1 else ""
    return f"On {pair.study.model} {pair.study.given} {after}, by {by(pair.protocol, pair.metric)}"


def by(protocol: Protocol, metric: Metric) -> str:
    """Return by what a score is: the protocol and the metric, once where both are called the same."""
    return protocol.heading if metric.id == protocol.id else f"{protocol.heading} {metric.heading}"


def _kept(pair: Pair) -> str:
    side, one, other, probe = pair.kept, pair.one.method, pair.other.method, pair.study.probe_of(pair.protocol.id)
    if side.missing:
        return f"what {one} and {other} keep of {probe} is unknown"
    verb, past, unit, of = ("keep", "kept", " %", f"of the base's {probe}")
    if not pair.in_percent:
        verb, past, unit, of = ("score", "scored", "", f"on {probe}")
    claims = {
        "more": f"{one} {verb}s more than {other},",
        "less": f"{one} {verb}s less than {other},",
        "open": f"whether {one} or {other} {verb}s more is open:",
        "one seed": f"in these runs {one} and {other} {past}",
        "untested": f"{one} and {other} {past}",
    }
    claim = f"{one} {verb}s as much as {other}," if side.within and side.told == "open" else claims[side.told]
    return f"{claim} {value(side.one, unit)} against {value(side.other, unit)} {of}, {gap(side)}{_held(side)}"


def _learned(pair: Pair) -> str:
    side = pair.learned
    if side.missing:
        return "with what they learned not scored"
    how = {"equal": "at equal learning", "not equal": "not at equal learning"}
    words = how.get(pair.learning, "with learning not shown to be equal")
    words += f" by {pair.told_by}" if pair.told_by else ""
    return f"{words}: {value(side.one, '')} against {value(side.other, '')}, {gap(side)}{_held(side)}"


def _held(side: Side) -> str:
    """Return the tests of equality, where they say more than the test of the difference."""
    return f", {equality(side)}" if equality(side) and (side.within or side.told == "open") else ""


def number(value: float) -> str:
    """Return a number as sentences have it: one digit, a minus that is one, and no −0.0."""
    text = f"{value:.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")
