"""One method beside the untouched model: what it learned, what it kept, and what may be said of that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from secura_bench.report.comparing.limits import of_the_rows
from secura_bench.report.comparing.words import number, value, where
from secura_bench.report.statistics import Interval
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.choosing import check_names, one_method
from secura_bench.report.study.placing import Placing, learned_by, placings
from secura_bench.report.study.protocols import PROTOCOLS, Metric, Protocol
from secura_bench.report.study.speaking import speaking
from secura_bench.report.study.study import Study
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import place_of
from secura_bench.report.tables.table import Column, Number, Row, Table


@dataclass(frozen=True, eq=False)
class BesideBase:
    """A method of a study by a protocol, beside the base model; what was learned may be told by another protocol.

    Attributes:
        study: the method alone. metric: by which what was kept is told. instead: why that is not the main one.
        placing: its numbers. learning, learned: the protocol and the metric by which they tell what was learned.
    """

    study: Study
    protocol: Protocol
    metric: Metric
    instead: str
    placing: Placing
    learning: Protocol
    learned: Metric

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it was trained on, in order."""
        return tuple(dict.fromkeys(task for sequence in self.study.sequences for task in sequence))

    @property
    def told_by(self) -> str:
        """By what learning is told, "" where it is by the same as what was kept."""
        other = self.learning.id != self.protocol.id
        return f"{self.learning.heading} {self.learned.heading}" if other else ""


def beside_base(studies: Sequence[Study], name: str) -> list[BesideBase]:
    """Return a method beside the base model, by each protocol of each study that has it and a base.

    Raises:
        BenchError: The name is unknown, or means several settings of one label.
    """
    check_names(studies, [name], "")
    found = []
    for study in studies:
        method = one_method(study, name, "")
        if method is None or study.base is None:
            continue
        alone = replace(study, arms=tuple(arm for arm in study.arms if arm.method == method))
        for protocol in (PROTOCOLS[each] for each in study.protocols if each in PROTOCOLS):
            metric, instead = speaking(alone, protocol)
            learning, learned = learned_by(alone, protocol)
            (placing,) = placings(alone, protocol.id, metric, (learning.id, learned))
            if not (placing.probe.missing and placing.learned.missing):
                found.append(BesideBase(alone, protocol, metric, instead, placing, learning, learned))
    return found


def base_sentence(found: BesideBase) -> str:
    """Return what can be quoted of a method beside the base: one sentence, no stronger than its numbers."""
    return f"{where(found)}, {_kept(found)}, {_learned(found)}."


def base_limits(found: BesideBase) -> Iterator[str]:
    """Yield what may not be claimed, each the end of a sentence that says so."""
    each = found.placing
    if not all(arm.trained_here for arm in each.arms):
        yield f"anything for the method by which {each.method} was trained: it is one model, and intervals are of items"
    elif any(len(arm.runs) == 1 for arm in each.arms):
        yield f"anything for the method: {each.method} has one seed, so that intervals are of that run's items only"
    if each.did_forget == "no" and each.retention.low < 100:
        lost = number(100 - each.retention.low)
        yield f"that it forgets nothing: {lost} percent points less are not ruled out"
    if each.did_learn in ("no", "worse"):
        yield "that it keeps in spite of learning: it was not shown to learn at all"
    if found.instead:
        yield f"anything of {found.protocol.main.heading}, the protocol's main metric: {found.instead}"
    yield from filter(None, dict.fromkeys((found.protocol.no_claim, found.learning.no_claim)))
    yield from of_the_rows(found)


def base_table(found: BesideBase) -> Table:
    """Return the numbers: learned and kept, of the base and of the method, and how far apart they are."""
    each = found.placing
    ends = [Column(name, digits=1, interval="ends") for name in ("base", each.method, "difference")]
    columns = (Column("score", "label"), *ends)
    loss = Cell() if each.retention.missing else _less(each.retention, 100.0)
    rows = (
        (f"learned {found.told_by or found.learned.heading}", each.before, each.learned, each.gain, "learned"),
        (f"kept % of {found.metric.heading}", Cell(100.0), each.retention, loss, "kept"),
    )
    title = f"{found.study.title} · {found.protocol.heading} · {each.method} beside the base"
    shown = tuple(Row((name, *map(Number, cells)), {"role": role}) for name, *cells, role in rows)
    return Table("compare", title, columns, shown, tuple(footnotes.marks()), place_of(found.study, found.protocol))


def _less(cell: Cell, what: float) -> Cell:
    spread = Interval(cell.low - what, cell.high - what) if cell.interval else cell.why
    return Cell(cell.value - what, spread, cell.n, cell.seeds, items_only=cell.items_only)


def _kept(found: BesideBase) -> str:
    each, probe = found.placing, found.study.probe_of(found.protocol.id)
    if each.retention.missing:
        return f"what {each.method} keeps of {probe} is unknown ({each.retention.why})"
    said = {"yes": "forgets: it keeps", "no": "is not shown to forget: it keeps", "worse": "gains: it keeps"}
    subject, claim = each.method, said.get(each.did_forget, "keeps")
    if each.retention.items_only and any(arm.trained_here for arm in each.arms):  # another seed may say otherwise
        past = {"yes": "forgot: it kept", "no": "is not shown to have forgotten: it kept", "worse": "gained: it kept"}
        subject, claim = f"in this run {each.method}", past.get(each.did_forget, "kept")
    return f"{subject} {claim} {value(each.retention)} of the base's {probe}"


def _learned(found: BesideBase) -> str:
    each = found.placing
    if each.learned.missing:
        return "with what it learned not scored"
    said = {"yes": "and learned", "no": "and is not shown to have learned", "worse": "and got worse on its own tasks"}
    claim = said.get(each.did_learn, "with what it learned not told from noise")
    by = f" by {found.told_by}" if found.told_by else ""
    if each.gain.missing:
        return f"{claim}{by}: {value(each.learned, '')}, of which the base has no score"
    amount, sign = number(abs(each.gain.value)), 1 if each.gain.value >= 0 else -1
    low, high = sorted((sign * each.gain.low, sign * each.gain.high))
    sure = f"{number(low)} to {number(high)}" if each.gain.interval else f"no interval: {each.gain.why}"
    direction = "apart" if amount == "0.0" else "more" if sign > 0 else "less"
    points = f"points of {found.learned.heading} {direction}"
    told = f"{value(each.learned, '')} from the base's {number(each.before.value)}"
    return f"{claim}{by}: {told}, {amount} {points} ({sure})"
