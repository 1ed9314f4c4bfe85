"""The ledger: what each method was tuned with, what that took, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secura_bench.report.study.arms import Arm
from secura_bench.report.study.cells import MISSING, Cell
from secura_bench.report.study.contrast import compare
from secura_bench.report.study.protocols import PROTOCOLS, Protocol
from secura_bench.report.study.study import Study
from secura_bench.report.study.tuning import ledger, tuned_of
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import LABEL, metric_name, place_of, with_numbers
from secura_bench.report.tables.note import Note
from secura_bench.report.tables.table import Column, Number, Row, Table
from secura_bench.report.tables.tuned import chosen, grid, on
from secura_bench.spec.tune import Tuned


def tuning(study: Study) -> Iterator[Table]:
    """Yield the ledger of a study whose settings were chosen; of a match also how far off it is, with its interval."""
    found = list(ledger(study))
    if not found:
        return
    protocol = next((PROTOCOLS[t.by] for _, t in found if t.by and t.by in PROTOCOLS), None)
    columns = [
        LABEL,
        Column("choose", "label"),
        Column("chosen", "label"),
        Column("of", "label"),
        Column("on", "label"),
    ]
    columns += [
        Column("rows", "label", spare=3),
        Column("steps", of={"metric": "tuning_steps"}, digits=0, spare=2),
        Column("seeds", "label", spare=4),
        Column("runs", of={"metric": "tuning_runs"}, digits=0),
        Column("min", of={"metric": "tuning_minutes"}, digits=1),
        Column("loss", of={"metric": "tuning_loss"}, digits=3, spare=1),
    ]
    if protocol:
        of = {"metric": f"{protocol.main.id}:difference", "protocol": protocol.id}
        columns += [Column("to learn", of={"metric": "tuning_learned"}, digits=1, spare=1)]
        columns += [Column("off", of=of, digits=1, interval="ends")]
    rows = []
    for name, tuned in found:
        entries: list[str | Number] = [name, tuned.choose, chosen(tuned), grid(tuned), on(tuned)]
        entries += [
            " + ".join(map(str, tuned.rows)) if tuned.rows else "–",
            _number(None if tuned.length else tuned.steps),
            ", ".join(map(str, tuned.seeds)) or "–",
            _number(tuned.runs or None),
            _number(tuned.seconds / 60 if tuned.runs else None),
            _number(tuned.loss),
        ]
        if protocol:
            entries += [_number(tuned.learned), Number(_off(study, name, tuned, protocol))]
        rows.append(Row(tuple(entries), {"method": name}))
    shown, kept = with_numbers(columns, rows)
    notes = (_MEANING, *_match(found, protocol), *footnotes.marks(), *footnotes.notes([study], None))
    yield Table("tuning", f"{study.title} · tuning", tuple(shown), tuple(kept), notes, place_of(study))


_MEANING = Note(
    "Chosen of the grid: best: the lowest loss on held-out rows, in nats a token, by teacher forcing, mean over tasks "
    "and seeds; match: where as much is learned as by the reference at its best, interpolated on a log scale of the "
    "setting; frontier: every setting is shown, and none was chosen. Rows: trained on + scored. Runs and their time: "
    "of the trials alone.",
    "Best: the lowest held-out loss; match: where the reference's learning is met. Runs and time: of the trials alone.",
)


def _match(found: Sequence[tuple[str, Tuned]], protocol: Protocol | None) -> Iterator[Note]:
    reference = next((tuned.reference for _, tuned in found if tuned.reference), None)
    if reference and protocol:
        score = f"{protocol.heading} {metric_name(protocol)}"
        yield Note(
            f"To learn: what {reference} learned in the trial that was its best, {score}. Off: what was learned less "
            f"what {reference} learned, in the experiment's own runs: how far the match is off.",
            f"Off: what was learned less what {reference} learned, {score}: how far the match is off.",
        )


def _off(study: Study, name: str, tuned: Tuned, protocol: Protocol) -> Cell:
    """Return what a method learned less what its reference did, on the same items of the same tasks."""
    if tuned.reference in (None, tuned.family):
        return Cell(MISSING, "no reference")
    arms = [(arm, _reference(study, tuned, arm)) for arm in study.arms if arm.method == name]
    pairs = [(one, other) for one, other in arms if other is not None]
    mine, theirs = (
        study.score_keys([pair[i] for pair in pairs], protocol.id, protocol.main.id, "learned") for i in range(2)
    )
    found = compare(mine, theirs) if pairs else None
    if found is None:
        return Cell(MISSING, "n too small to tell")
    return Cell(found.difference, found.interval, items_only=found.items_only)


def _reference(study: Study, tuned: Tuned, arm: Arm) -> Arm | None:
    return next(
        (a for a in study.arms if a.label == tuned.reference and a.sequence == arm.sequence and tuned_of(a)), None
    )


def _number(value: float | None) -> Number:
    return Number(Cell(MISSING if value is None else float(value)))
