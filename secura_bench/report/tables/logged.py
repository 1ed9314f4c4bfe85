"""The tables of what runs logged: merges and norms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from secura_bench.report.study.arms import sequence_name
from secura_bench.report.study.cells import MISSING, Cell
from secura_bench.report.study.logged import MERGE, RES, gradient_norms, merge_figures, weight_changes
from secura_bench.report.study.study import Study
from secura_bench.report.tables import footnotes
from secura_bench.report.tables.common import (
    LABEL,
    arms_on,
    over_runs,
    place_of,
    with_numbers,
)
from secura_bench.report.tables.note import Note, unsaid
from secura_bench.report.tables.table import Column, Number, Row, Table


def merges(study: Study) -> Iterator[Table]:
    """Yield what each method logged of Res, and of what its merges left of their updates."""
    columns = [Column("trained on", "label"), LABEL]
    columns += [
        Column(name, of={"metric": f"{RES}:{name}"}, group="median Res", digits=4, spare=spare)
        for name, spare in (("last", 0), ("least", 2), ("greatest", 2))
    ]
    columns += [
        Column(heading, of={"metric": f"{MERGE}{name}_{span}"}, group=group, digits=1, spare=spare)
        for span, group in (("step", "last merge"), ("total", "all merges"))
        for name, heading, spare in (("kept", "kept %", 0), ("norm_ratio", "norm %", 3), ("changed", "changed %", 1))
    ]
    figures = {id(run): merge_figures(run) for arm in study.arms for run in arm.runs}
    logging = {arm.method for arm in study.arms for run in arm.runs if figures[id(run)]}
    rows = []
    for sequence in study.sequences:
        for arm in (arm for arm in arms_on(study, sequence) if arm.method in logging):
            found = [figures[id(run)] for run in arm.runs]
            numbers = [over_runs(arm, [_summary(one, column.of["metric"]) for one in found]) for column in columns[2:]]
            of_row = {"method": arm.method, "sequence": sequence_name(sequence)}
            rows.append(Row((sequence_name(sequence), arm.method, *numbers), of_row, sequence_name(sequence)))
    if not rows:
        return
    silent = [method for method in study.methods if method not in logging]
    columns, rows = with_numbers(columns, rows)
    told = {
        "median Res": Note(
            "Median Res: the median of what SigNorm divides by, over the weight's entries (with signorm: "
            "public_code over a batch's outputs), then over modules; at the last logged step, and the least and the "
            "greatest of all logged.",
            "Median Res: of what SigNorm divides by.",
        ),
        "last merge": Note(
            "Last merge, all merges: of the update ΔW that was merged into weights of low precision, by W's "
            "change D: kept = 100 · ⟨D, ΔW⟩ / ‖ΔW‖², norm = 100 · ‖D‖ / ‖ΔW‖, changed = percent of W's entries that "
            "moved. SECURA logs them where it merges into the base's own dtype (merge_dtype: base), and merges "
            "exactly otherwise; LoRA, DoRA and I-LoRA at the ends of tasks.",
            "Of the update merged into weights of low precision: kept, its part "
            "that survived; norm, the change's of the update's; changed, of all weights.",
        ),
    }
    groups = {column.group for column in columns}
    notes = (
        unsaid("From the runs' log.jsonl, means over seeds; –: not logged."),
        *(meaning for group, meaning in told.items() if group in groups),
        *([unsaid(f"Logged neither: {', '.join(silent)}.")] if silent else []),
        *footnotes.notes([study], None),
    )
    columns, rows = with_numbers(columns, rows)
    yield Table("merges", f"{study.title} · merges", tuple(columns), tuple(rows), notes, place_of(study))


_MOVED = Note(
    "Moved by: the norm of the change itself, ‖W − W_base‖ in percent of ‖W_base‖ (for CUR-LoRA ‖C U R‖ / ‖W‖), a mean "
    "over layers, tasks and seeds; of the query and value projections where the run adapted none or all."
)


def norms(study: Study) -> Iterator[Table]:
    """Yield the numbers of Figures 2 and 3: gradient norms by matrix, and the change of the adapted weights' norm."""
    columns = [LABEL, Column("matrix", "label")]
    columns += [
        Column(name, of={"metric": f"gradient_norm:{name}"}, group="gradient norm", digits=4, spare=spare)
        for name, spare in (("mean", 0), ("least", 1), ("greatest", 1))
    ]
    columns += [
        Column(name, of={"metric": f"weight_norm_change:{name.split()[-1]}"}, group="weights' norm, %", digits=3)
        for name in ("as trained", "as normalised")
    ]
    changes = weight_changes(study.arms)
    told = any(change.moved is not None for by in changes.values() for change in by.values())
    columns += [Column("moved by", of={"metric": "weight_change"}, group="weights' norm, %", digits=3)] * told
    rows = []
    for method in study.methods:
        runs = [run for arm in study.arms if arm.method == method for run in arm.runs]
        seeds = tuple(sorted({run.record.seed for run in runs}))
        by_matrix: dict[str, list[list[float]]] = {}
        for run in runs:
            for matrix, curve in gradient_norms(run).items():
                by_matrix.setdefault(matrix, []).append([norm for _, norm in curve])
        lines = {
            matrix: (fmean(map(fmean, curves)), min(map(min, curves)), max(map(max, curves)), MISSING, MISSING, MISSING)
            for matrix, curves in by_matrix.items()
        }
        for module, change in changes.get(method, {}).items():
            moved = MISSING if change.moved is None else change.moved
            lines[module] = (MISSING, MISSING, MISSING, change.former, change.updated, moved)
        for matrix, values in lines.items():
            numbers = [Number(Cell(value, seeds=seeds)) for value in values[: len(values) - (not told)]]
            rows.append(Row((method, matrix, *numbers), {"method": method, "task": matrix}, method))
    if not rows:
        return
    notes = (
        Note(
            "Gradient norm (the paper's Figure 2): L2, a mean over layers, of every trained matrix at each logged "
            "step; mean over steps, tasks and seeds, and the least and the greatest of all (log: {gradient_norms: "
            "true} in a spec). Weights' norm (Figure 3): the Frobenius norm, a mean over layers, after the run, in "
            "percent more than the base's, mean over tasks and seeds: of the weights as trained, and as the model "
            "computes with them after a normalisation (weight_norms: true). –: not logged.",
            "Gradient norm: L2, a mean over layers, steps, tasks and seeds. Weights' norm: Frobenius, in % more "
            "than the base's, as trained and as the model computes with them.",
        ),
        *([_MOVED] if told else []),
        *footnotes.notes([study], None),
    )
    columns, rows = with_numbers(columns, rows)
    yield Table("norms", f"{study.title} · norms", tuple(columns), tuple(rows), notes, place_of(study))


def _summary(figures: Mapping[str, Sequence[float]], metric: str) -> float | None:
    """Return what a run's logged values come to: of Res the one that ``metric`` names, else the last in percent."""
    name, _, which = metric.partition(":")
    values = figures.get(name)
    if not values:
        return None
    if not which:
        return 100 * values[-1]
    return min(values) if which == "least" else max(values) if which == "greatest" else values[-1]
