"""The page's answer where methods were run in several settings: what they keep at equal learning."""

from __future__ import annotations

from secura_bench.report.comparing.at_equal_learning import said
from secura_bench.report.comparing.curves import curves_of
from secura_bench.report.comparing.words import number
from secura_bench.report.page.sentence import Sentence
from secura_bench.report.study.frontier import Against, every_frontier
from secura_bench.report.study.protocols import Protocol
from secura_bench.report.study.study import Study


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
    lead = f"At equal learning{by}, beside {first.name}, in {of}: {'; '.join(map(_briefly, found.against_first))}."
    pairs = [curves_of(study, protocol, each.line.family, first.family) for each in found.against_first]
    texts = [said(pair) for pair in pairs if pair]
    return [Sentence("lead", lead), *(Sentence("fact", f"{text[0].upper()}{text[1:]}.") for text in texts)]


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
