"""The page's answer where methods were run in several settings: what they keep at equal learning."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.report.comparing.at_equal_learning import said
from secura_bench.report.comparing.curves import curves_of
from secura_bench.report.comparing.words import listed, number
from secura_bench.report.page.sentence import Sentence
from secura_bench.report.study.frontier import Against, every_frontier
from secura_bench.report.study.protocols import Protocol
from secura_bench.report.study.study import Study

_NAMED = 3
"""Of how many methods the answer has the numbers; of more it has verdicts, and the numbers stand below."""
_OPEN = {
    "not told apart": "not told apart from it",
    "one seed": "not judged, for one seed says nothing of another",
    "n too small to tell": "of too few items to tell",
    "nothing in common": "without learning in common with it",
}


def at_equal_learning(study: Study, protocol: Protocol) -> list[Sentence]:
    """Return the answer, by tests over all curves at once, and what ``compare`` says of each beside the first.

    Nothing where there are no two curves.
    """
    found = next((each for each in every_frontier(study) if each.protocol.id == protocol.id), None)
    if found is None or not found.against_first:
        return []
    first = found.lines[0]
    of = f"{found.unit} of the base's {study.probe_of(protocol.id)}" if found.in_percent else found.unit
    by = f" ({found.elsewhere})" if found.elsewhere else ""
    others = found.against_first
    told = f", in {of}: {'; '.join(map(_briefly, others))}" if len(others) <= _NAMED else f": {_counted(others)}"
    lead = f"At equal learning{by}, beside {first.name}{told}."
    pairs = [curves_of(study, protocol, each.line.family, first.family) for each in found.against_first]
    texts = [said(pair) for pair in pairs if pair]
    return [Sentence("lead", lead), *(Sentence("fact", f"{text[0].upper()}{text[1:]}.") for text in texts)]


def _counted(others: Sequence[Against]) -> str:
    """Return who keeps more and who keeps less, by name, and of how many others nothing can be said, and why."""
    said = []
    for verdict, claim in (("keeps more", "keep more"), ("keeps less", "keep less")):
        if names := [each.line.name for each in others if each.verdict == verdict]:
            said.append(f"{listed(names)} {verdict if len(names) == 1 else claim}")
    for verdict, why in _OPEN.items():
        if count := sum(each.verdict == verdict for each in others):
            who = f"the {count} others" if count == len(others) else str(count)
            said.append(f"{who} {'are' if count > 1 else 'is'} {why}")
    return "; ".join(said)


def _briefly(each: Against) -> str:
    name, gap, verdict = each.line.name, each.gap, each.verdict
    if gap is None:
        return f"{name} has no learning in common with it"
    sign = 1 if gap.value >= 0 else -1
    amount = f"{number(abs(gap.value))} {'more' if sign > 0 else 'less'}"
    if gap.interval is None:
        return f"{name} kept {amount} (no interval)"
    low, high = sorted((sign * gap.interval.low, sign * gap.interval.high))
    sure = f"({number(low)} to {number(high)})"
    if verdict == "not told apart":
        return f"{name} is not told apart, {amount} {sure}"
    if verdict == "one seed":
        return f"{name} kept {amount} in these runs ({number(low)} to {number(high)}, items only)"
    return f"{name} keeps {amount} {sure}"
