"""The table of costs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from secura_bench.report.study.arms import sequence_name
from secura_bench.report.study.study import Study
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import LABEL, arms_on, over_runs, place_of
from secura_bench.report.tables.note import Note
from secura_bench.report.tables.table import Column, Row, Table


def cost(study: Study) -> Iterator[Table]:
    """Yield what each method took: time, memory, parameters; means over runs."""
    columns = [Column("trained on", "label"), LABEL]
    columns += [
        Column("train min", of={"metric": "train_minutes"}, digits=1),
        Column("score min", of={"metric": "evaluate_minutes"}, digits=1, spare=2),
        Column("tokens M", of={"metric": "tokens_millions"}, digits=2, spare=3),
        Column("peak GB", of={"metric": "peak_memory_gb"}, digits=2),
        Column("trained k", of={"metric": "trained_thousands"}, digits=1),
        Column("held k", of={"metric": "held_thousands"}, digits=1),
        Column("trained %", of={"metric": "trained_percent"}, digits=2, spare=1),
        Column("per layer", of={"metric": "trained_per_layer"}, digits=0),
        Column("device", "label", spare=4),
    ]
    rows = []
    for sequence in study.sequences:
        for arm in arms_on(study, sequence):
            costs = [run.record.cost for run in arm.runs]
            counts = [run.record.parameters for run in arm.runs]

            share = [100 * c["trainable"] / c["total"] if c.get("total") and "trainable" in c else None for c in counts]
            known = costs if arm.trained_here else []  # what others' training took is not known
            of = partial(over_runs, arm)
            numbers = (
                of([c.train_seconds for c in known], 1 / 60),
                of([c.evaluate_seconds for c in costs], 1 / 60),
                of([c.tokens for c in known], 1e-6),
                of([c.peak_memory for c in costs], 1e-9),
                of([c.get("trainable") for c in counts], 1e-3),
                of([c.get("held") for c in counts], 1e-3),
                of(share),
                of([c.get("per_layer") for c in counts]),
            )
            device = ", ".join(sorted({c.device for c in costs}))
            of_row = {"method": arm.method, "sequence": sequence_name(sequence)}
            rows.append(Row((sequence_name(sequence), arm.method, *numbers, device), of_row, sequence_name(sequence)))
    if rows:
        notes = (
            Note(
                "Means over seeds. Peak: of the device's memory on a GPU, of the process on a CPU. Trained: given "
                "to the optimizer; held: beside the model (anchors, averages, buffers); per layer: trained, a "
                "decoder layer that holds any. Times of other machines, or of runs side by side, do not compare.",
                "Peak: of a GPU's memory, of the process on a CPU. Times of other machines do not compare.",
            ),
            *footnotes.notes([study], None),
        )
        title = f"{study.title} · cost"
        yield Table("cost", title, tuple(columns), tuple(rows), notes, place_of(study))
