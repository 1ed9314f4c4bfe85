"""What merging did, from the runs' logs: the restraint that SigNorm puts on weights, and what of an update survives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from secura_bench.report import foot
from secura_bench.report.study import MISSING, Arm, Cell, Run, Study, sequence_name
from secura_bench.report.table import Column, Number, Row, Table

_FIGURES = {"kept": "kept %", "norm_ratio": "norm %", "changed": "changed %"}
_SPANS = {"step": "last merge", "total": "all merges"}


def merges(study: Study) -> Iterator[Table]:
    """Yield a row for each arm that logged its merges (``log.every``): means over seeds."""
    columns = [Column("trained on", "label"), Column("method", "label")]
    columns += [
        Column(heading, of={"metric": f"median_res_{which}"}, group="median Res", digits=4)
        for which, heading in (("least", "least"), ("greatest", "greatest"))
    ]
    columns += [
        Column(heading, of={"metric": f"merge_{figure}_{span}"}, group=group, digits=1)
        for span, group in _SPANS.items()
        for figure, heading in _FIGURES.items()
    ]
    rows = []
    for sequence in study.sequences:
        name = sequence_name(sequence)
        for arm in (arm for arm in study.arms if arm.sequence == sequence):
            found = [_figures(run) for run in arm.runs]
            if any(found):
                numbers = [_mean(found, column.of["metric"], arm) for column in columns[2:]]
                rows.append(Row((name, arm.method, *numbers), {"method": arm.method, "sequence": name}, name))
    if rows:
        notes = (
            "From log.jsonl: what was logged every log.every steps. Median Res: over modules, of the median over a "
            "weight's entries (outputs, in the published code's variant), by which SigNorm divides; least and "
            "greatest along training. Of merges into weights of low precision, the last and all together: kept = "
            "⟨W_after − W_before, ΔW⟩ / ‖ΔW‖², norm = ‖W_after − W_before‖ / ‖ΔW‖, changed = share of the weights' "
            "entries that changed at all. –: nothing was merged into weights (a merge in the core is exact).",
            *foot.foot([study], None),
        )
        of = {"experiment": study.experiment, "model": study.model, "mode": study.mode, "probe": study.probe_name}
        title = f"{study.experiment} · {study.model} · merges"
        yield Table("merges", title, tuple(columns), tuple(rows), notes, of)


def _figures(run: Run) -> dict[str, float]:
    """Return the last of a run's logged figures of merging in percent, and the range of its median Res."""
    found: dict[str, float] = {}
    for line in run.log():
        for key, value in line.items():
            if key.startswith("merge_") and isinstance(value, float | int):
                found[key] = 100 * value
        res = line.get("median_res")
        if isinstance(res, float | int):
            found["median_res_least"] = min(res, found.get("median_res_least", math.inf))
            found["median_res_greatest"] = max(res, found.get("median_res_greatest", -math.inf))
    return found


def _mean(found: Sequence[Mapping[str, float]], figure: str, arm: Arm) -> Number:
    known = [figures[figure] for figures in found if figure in figures]
    return Number(Cell(math.fsum(known) / len(known) if known else MISSING, seeds=arm.seeds))
