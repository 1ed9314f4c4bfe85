"""The table of differences: each method less the best, or less one that the user names, on the same items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from secura_bench.report.study.arms import Arm, sequence_name
from secura_bench.report.study.cells import MISSING, Cell, ScoreKey
from secura_bench.report.study.choosing import one_method
from secura_bench.report.study.families import family_of
from secura_bench.report.study.protocols import Metric, Protocol
from secura_bench.report.study.ranking import Ranking, beside, rank, rank_means
from secura_bench.report.study.study import Study
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import LABEL, SEPARATE, arms_on, metric_name, place_of, title_of
from secura_bench.report.tables.table import Column, Number, Row, Table

Side = Literal["learned", "probe"]
SIDES: tuple[Side, ...] = ("learned", "probe")


def differences(study: Study, protocol: Protocol, reference: str = "") -> Iterator[Table]:
    """Yield each method less the best one, or less the ``reference``, with its p alone and over all methods at once.

    Nothing where the study has no such reference, or has it in several settings: those are compared as a curve.
    """
    if reference and reference not in study.methods and family_of(study, reference):
        return
    other = one_method(study, reference, "--reference ") if reference else "the best"
    if other is None:
        return
    columns = [Column("trained on", "label"), Column("score", "label"), LABEL]
    columns += [
        _difference(protocol.main, other),
        Column("p", of={"metric": "p"}, digits=4),
        Column("p all", of={"metric": "p:all"}, digits=4),
        Column("test", "label", spare=1),
        Column("verdict", "label"),
    ]
    found = _from_reference(study, protocol, other) if reference else _from_the_best(study, protocol)
    rows = [row for section, what, ranking in found for row in _rows(section, what, ranking)]
    if rows:
        title = f"{title_of(study, protocol)} · differences from {other}, {metric_name(protocol)}"
        tests = f"Less {other} (--reference), whether it is the best or not. {_BESIDE}" if reference else _TESTS
        notes = (tests, *footnotes.marks(), *footnotes.notes([study], protocol.id, (protocol.main.id,)))
        yield Table("differences", title, tuple(columns), tuple(rows), notes, place_of(study, protocol))


def _difference(metric: Metric, other: str) -> Column:
    """Return the column of differences: in points, or of a metric without ends in percent of the other's."""
    heading, of = (f"less {other}", "difference") if metric.percent else (f"% over {other}", "percent_over")
    return Column(heading, of={"metric": f"{metric.id}:{of}"}, digits=1, interval="ends")


_ALONE = "Where either has one seed, p is of these runs' items only, and no verdict follows."
_TESTS = (
    "p: of the two alone; p all: of being told from the best, over all methods of several seeds at once (bootstrap of "
    f"the maximum). {_ALONE}"
)
_BESIDE = f"p: of the two alone; p all: adjusted over the methods of several seeds (Holm). {_ALONE}"


def _from_the_best(study: Study, protocol: Protocol) -> Iterator[tuple[str, Side, Ranking]]:
    for sequence in study.sequences:
        arms = [arm for arm in arms_on(study, sequence) if arm.name != "mtl"]
        for what in SIDES:
            yield sequence_name(sequence), what, rank(study, arms, protocol.id, protocol.main.id, what)
    if study.mode == "separate" and len(study.sequences) > 1:
        for what in SIDES:
            mean = rank_means(study, protocol.id, protocol.main.id, what)
            yield f"{SEPARATE} {len(study.sequences)}", what, mean


def _from_reference(study: Study, protocol: Protocol, reference: str) -> Iterator[tuple[str, Side, Ranking]]:
    """Yield the comparisons with one method, a task sequence after the other, and of their mean in mode separate."""
    sections = [(sequence_name(sequence), [sequence]) for sequence in study.sequences]
    if study.mode == "separate" and len(study.sequences) > 1:
        sections.append((f"{SEPARATE} {len(study.sequences)}", list(study.sequences)))
    for section, sequences in sections:
        arms = {method: [study.arm(method, tasks) for tasks in sequences] for method in (reference, *study.methods)}
        whole = {method: [arm for arm in of if arm] for method, of in arms.items() if None not in of}
        if reference not in whole:
            continue
        for what in SIDES:
            keys = {method: _keys(study, of, sequences, protocol, what) for method, of in whole.items()}
            yield section, what, beside(keys, reference, protocol.main.id)


def _keys(
    study: Study, arms: Sequence[Arm], sequences: Sequence[tuple[str, ...]], protocol: Protocol, what: Side
) -> list[ScoreKey]:
    """Return where a method stands; the base model, which was trained on nothing, on the tasks that others were."""
    if not arms[0].is_base:
        return study.score_keys(arms, protocol.id, protocol.main.id, what)
    if what == "probe":
        return study.score_keys(arms[:1], protocol.id, protocol.main.id, what)
    return [
        ScoreKey(arms[0], protocol.id, protocol.main.id, "task", task, "end") for tasks in sequences for task in tasks
    ]


def _rows(section: str, what: Side, ranking: Ranking) -> Iterator[Row]:
    for method, compared in ranking.compared.items():
        found, p = compared.comparison, compared.adjusted
        numbers = [Cell(), Cell(), Cell()]
        if found is not None:
            gap = Cell(found.difference, found.interval, items_only=found.items_only)
            numbers = [gap, Cell(found.p), Cell(MISSING if p is None else p)]
        of = {"method": method, "sequence": section, "role": "task" if what == "learned" else "probe"}
        shown = [*map(Number, numbers), found.test if found else "–", compared.verdict]
        yield Row((section, what, method, *shown), of, f"{section} {what}")
