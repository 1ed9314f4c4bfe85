"""The tables of any experiment: who learned, who forgot, along which path, at what cost, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Literal

from secura_bench.records import MIXED, DataNote
from secura_bench.report import foot
from secura_bench.report.logged import MERGE, RES, gradient_norms, merge_figures, weight_changes
from secura_bench.report.losses import KINDS, every_losses
from secura_bench.report.metrics import PROTOCOLS, Protocol, metric
from secura_bench.report.ranking import Ranking, rank, rank_means
from secura_bench.report.study import BY_CHANCE, MISSING, Arm, Cell, Spot, Study, mean_cell, sequence_name
from secura_bench.report.table import Column, Number, Row, Table

LABEL = Column("method", "label")
SEPARATE = "mean of"


def general_tables(studies: Sequence[Study], wanted: Sequence[str]) -> Iterator[Table]:
    """Yield the ``wanted`` tables of every study, those of one study together."""
    for study in studies:
        for protocol in study.protocols:
            for name in wanted:
                if name in BY_PROTOCOL:
                    yield from BY_PROTOCOL[name](study, protocol_of(protocol))
        for name in wanted:
            if name in BY_STUDY:
                yield from BY_STUDY[name](study)


def protocol_of(name: str) -> Protocol:
    """Return what is known of a protocol; one that the package does not know has its accuracy shown."""
    return PROTOCOLS.get(name) or Protocol(name, ("accuracy",), ("accuracy",), "of a plug-in")


def retention(study: Study, protocol: Protocol) -> Iterator[Table]:
    """Yield what was learned beside what was kept: a row a method, a section a task sequence."""
    columns = _retention_columns(study, protocol)
    rows: list[Row] = []
    for sequence in study.sequences:
        arms = _arms(study, sequence)
        if not _scored(study, protocol, arms):
            continue
        ranked = [arm for arm in arms if arm.name != "mtl"]
        learned, probe = (rank(study, ranked, protocol.id, protocol.main.id, what) for what in ("learned", "probe"))
        section = sequence_name(sequence)
        rows += _constant_rows(study, protocol, sequence, columns)
        for arm in ([study.base] if study.base else []) + arms:
            label = f"{arm.method} ({arm.diverged} of {len(arm.runs)} diverged)" if arm.diverged else arm.method
            numbers = _retention_numbers(study, protocol, columns, [arm], sequence)
            tied = {"learned": learned.tied(arm.method), "kept": probe.tied(arm.method)}
            rows.append(_row(columns, section, label, numbers, arm, tied, protocol))
    if not rows:
        return
    rows += _mean_rows(study, protocol, columns)
    every = columns
    asked = foot.untold((run.record for run in study.runs), protocol.id)
    columns, rows = _with_numbers(every, rows, [(c.of.get("role"), c.of.get("metric")) in asked for c in every])
    untold = dict.fromkeys(c.group for c in every if c not in columns and c.group != "start")
    lacking = [f"By this protocol there is no score of: {', '.join(untold)}."] if untold else []
    if any(study.retention(arm, protocol.id, protocol.main.id).why == BY_CHANCE for arm in study.arms):
        lacking.append(f"Nothing is said to be kept where {BY_CHANCE}.")
    notes = foot.foot([study], protocol.id, protocol.metrics)
    yield Table(
        "retention",
        _title(study, protocol),
        tuple(columns),
        tuple(rows),
        (_reading(study, protocol), *lacking, *foot.marks(rows), *notes),
        _of(study, protocol),
    )


def matrix(study: Study, protocol: Protocol) -> Iterator[Table]:
    """Yield the accuracy matrix of every sequence: after each task, the score on each."""
    for sequence in study.sequences:
        if study.mode != "sequence" or len(sequence) < 2:
            continue
        columns = [LABEL, Column("after", "label")]
        columns += [
            Column(t, of={"role": "task", "task": t, "metric": protocol.main.id}, digits=1, interval="half")
            for t in sequence
        ]
        rows: list[Row] = []
        for arm in _arms(study, sequence):
            found = study.matrix(arm, protocol.id, protocol.main.id)
            for after, cells in zip(found.after, found.cells, strict=True):
                if after is None and rows:
                    continue  # the base's row stands once
                name, moment = (arm.method, _after(after)) if after else ("base", "–")
                numbers = tuple(Number(cell) for cell in cells)
                section = arm.method if after else ""
                rows.append(Row((name, moment, *numbers), {"method": name, "after": moment}, section, not after))
        if any(_told(row) for row in rows):
            title = f"{_title(study, protocol)} · {metric_name(protocol)} of each task along the sequence"
            how = "A row: after training on that task. A column: the score on that task's test rows."
            notes = (how, *foot.marks(rows), *foot.foot([study], protocol.id, (protocol.main.id,)))
            yield Table("matrix", title, tuple(columns), tuple(rows), notes, _of(study, protocol))


_CONTINUAL = {
    "average_accuracy": "ACC",
    "learning_accuracy": "LA",
    "backward_transfer": "BWT",
    "forward_transfer": "FWT",
    "forgetting": "F",
}


def continual(study: Study, protocol: Protocol) -> Iterator[Table]:
    """Yield the continual metrics of every sequence, retention beside them."""
    for sequence in study.sequences:
        if study.mode != "sequence" or len(sequence) < 2:
            continue
        main = protocol.main.id
        columns = [LABEL]
        columns += [
            Column(short, of={"metric": f"{main}:{name}"}, digits=1, interval="ends")
            for name, short in _CONTINUAL.items()
        ]
        columns += [Column("kept %", of={"metric": f"{main}:retention", "role": "probe"}, digits=1, interval="ends")]
        rows = []
        missing = set(_CONTINUAL)
        for arm in _arms(study, sequence):
            found = study.continual(arm, protocol.id, main)
            if any(moment.after == MIXED for moment in arm.moments):
                found["average_accuracy"] = study.final(arm, protocol.id, main)
            missing -= {name for name in _CONTINUAL if not found[name].missing}
            cells = (*(found[name] for name in _CONTINUAL), study.retention(arm, protocol.id, main))
            rows.append(Row((arm.method, *map(Number, cells)), {"method": arm.method}, "", arm.name == "mtl"))
        if len(missing) < len(_CONTINUAL):
            title = f"{_title(study, protocol)} · continual metrics of {metric_name(protocol)}"
            forward = ("No FWT: no task was scored before its training; `evaluate: {tasks: all}` in a spec does that.",)
            gap = forward if "forward_transfer" in missing else ()
            notes = (foot.CONTINUAL, *gap, *foot.marks(rows), *foot.foot([study], protocol.id, (main,)))
            yield Table("continual", title, tuple(columns), tuple(rows), notes, _of(study, protocol))


def differences(study: Study, protocol: Protocol) -> Iterator[Table]:
    """Yield each method less the best one, on the same items, with its p alone and over all methods at once."""
    columns = [Column("trained on", "label"), Column("score", "label"), LABEL]
    columns += [
        Column("less the best", of={"metric": f"{protocol.main.id}:difference"}, digits=1, interval="ends"),
        Column("p", of={"metric": "p"}, digits=4),
        Column("p all", of={"metric": "p:all"}, digits=4),
        Column("test", "label", spare=1),
        Column("verdict", "label"),
    ]
    rankings: list[tuple[str, Literal["learned", "probe"], Ranking]] = []
    sides: tuple[Literal["learned", "probe"], ...] = ("learned", "probe")
    for sequence in study.sequences:
        arms = [arm for arm in _arms(study, sequence) if arm.name != "mtl"]
        for what in sides:
            rankings.append((sequence_name(sequence), what, rank(study, arms, protocol.id, protocol.main.id, what)))
    if study.mode == "separate" and len(study.sequences) > 1:
        for what in sides:
            mean = rank_means(study, protocol.id, protocol.main.id, what)
            rankings.append((f"{SEPARATE} {len(study.sequences)}", what, mean))
    rows = []
    for section, what, ranking in rankings:
        for method, compared in ranking.compared.items():
            found, p = compared.comparison, compared.adjusted
            numbers = [Cell(), Cell(), Cell()]
            if found is not None:
                gap = Cell(found.difference, found.interval, items_only=found.items_only)
                numbers = [gap, Cell(found.p), Cell(MISSING if p is None else p)]
            of = {"method": method, "sequence": section, "role": "task" if what == "learned" else "probe"}
            shown = [*map(Number, numbers), found.test if found else "–", compared.verdict]
            rows.append(Row((section, what, method, *shown), of, f"{section} {what}"))
    if rows:
        title = f"{_title(study, protocol)} · differences from the best, {metric_name(protocol)}"
        notes = foot.foot([study], protocol.id, (protocol.main.id,))
        yield Table(
            "differences", title, tuple(columns), tuple(rows), (_TESTS, *foot.marks(rows), *notes), _of(study, protocol)
        )


_TESTS = (
    "p: of the two alone; p all: of being told from the best, over all methods of several seeds at once (bootstrap of "
    "the maximum). Where either has one seed, p is of these runs' items only, and no verdict follows."
)


def losses(study: Study) -> Iterator[Table]:
    """Yield what forgetting consists of, where generation and choice were both scored."""
    if not {"generate", "choice"} <= set(study.protocols):
        return
    columns = [LABEL, *(Column(kind, of={"metric": f"losses:{kind}"}, digits=1) for kind in KINDS)]
    columns.append(Column("n", "label"))
    rows = [
        Row(
            (method, *(Number(Cell(getattr(found, kind), n=found.n)) for kind in KINDS), str(found.n)),
            {"method": method},
        )
        for method, found in every_losses(study)
    ]
    if rows:
        notes = (
            "Of the probe's items with choices that the base model answers right by generation, the percent that are "
            "in the end: kept, right still; format, the right choice is the likeliest, but it is not said so that it "
            "can be read; gone, wrong by choice, too; cut, without an end, so that there is no answer to judge.",
            *foot.foot([study], "generate", ("accuracy",)),
        )
        title = f"{_title(study, PROTOCOLS['generate'])} · what forgetting consists of"
        yield Table("losses", title, tuple(columns), tuple(rows), notes, _of(study, PROTOCOLS["generate"]))


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
        for arm in _arms(study, sequence):
            costs = [run.record.cost for run in arm.runs]
            counts = [run.record.parameters for run in arm.runs]

            share = [100 * (c.get("trainable") or 0) / total if (total := c.get("total")) else None for c in counts]
            of = partial(_over_runs, arm)
            numbers = (
                of([c.train_seconds for c in costs], 1 / 60),
                of([c.evaluate_seconds for c in costs], 1 / 60),
                of([c.tokens for c in costs], 1e-6),
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
            "Means over seeds. Peak: of the device's memory on a GPU, of the process on a CPU. Trained: given to the "
            "optimizer; held: beside the model (anchors, averages, buffers); per layer: trained, a decoder layer "
            "that holds any. Times of other machines, or of runs side by side, do not compare.",
            *foot.foot([study], None),
        )
        title = f"{study.experiment} · {study.model} · cost"
        yield Table("cost", title, tuple(columns), tuple(rows), notes, _of(study))


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
        for arm in (arm for arm in _arms(study, sequence) if arm.method in logging):
            found = [figures[id(run)] for run in arm.runs]
            numbers = [_over_runs(arm, [_summary(one, column.of["metric"]) for one in found]) for column in columns[2:]]
            of_row = {"method": arm.method, "sequence": sequence_name(sequence)}
            rows.append(Row((sequence_name(sequence), arm.method, *numbers), of_row, sequence_name(sequence)))
    if not rows:
        return
    silent = [method for method in study.methods if method not in logging]
    columns, rows = _with_numbers(columns, rows)
    told = {
        "median Res": "Median Res: the median of what SigNorm divides by, over the weight's entries (with signorm: "
        "public_code over a batch's outputs), then over modules; at the last logged step, and the least and the "
        "greatest of all logged.",
        "last merge": "Last merge, all merges: of the update ΔW that was merged into weights of low precision, by W's "
        "change D: kept = 100 · ⟨D, ΔW⟩ / ‖ΔW‖², norm = 100 · ‖D‖ / ‖ΔW‖, changed = percent of W's entries that moved. "
        "SECURA logs them where it merges into the base's own dtype (merge_dtype: base), and merges exactly otherwise; "
        "LoRA, DoRA and I-LoRA at the ends of tasks.",
    }
    groups = {column.group for column in columns}
    notes = (
        "From the runs' log.jsonl, means over seeds; –: not logged.",
        *(meaning for group, meaning in told.items() if group in groups),
        *([f"Logged neither: {', '.join(silent)}."] if silent else []),
        *foot.foot([study], None),
    )
    columns, rows = _with_numbers(columns, rows)
    yield Table(
        "merges", f"{study.experiment} · {study.model} · merges", tuple(columns), tuple(rows), notes, _of(study)
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
    rows = []
    for method in study.methods:
        runs = [run for arm in study.arms if arm.method == method for run in arm.runs]
        seeds = tuple(sorted({run.record.seed for run in runs}))
        by_matrix: dict[str, list[list[float]]] = {}
        for run in runs:
            for matrix, curve in gradient_norms(run).items():
                by_matrix.setdefault(matrix, []).append([norm for _, norm in curve])
        lines = {
            matrix: (fmean(map(fmean, curves)), min(map(min, curves)), max(map(max, curves)), MISSING, MISSING)
            for matrix, curves in by_matrix.items()
        }
        for module, change in changes.get(method, {}).items():
            lines[module] = (MISSING, MISSING, MISSING, change.former, change.updated)
        for matrix, values in lines.items():
            numbers = [Number(Cell(value, seeds=seeds)) for value in values]
            rows.append(Row((method, matrix, *numbers), {"method": method, "task": matrix}, method))
    if not rows:
        return
    notes = (
        "Gradient norm (the paper's Figure 2): L2, a mean over layers, of every trained matrix at each logged step; "
        "mean over steps, tasks and seeds, and the least and the greatest of all (log: {gradient_norms: true} in a "
        "spec). Weights' norm (Figure 3): the Frobenius norm, a mean over layers, after the run, in percent more than "
        "the base's, mean over tasks and seeds: of the weights as trained, and as the model computes with them after "
        "a normalisation (weight_norms: true). –: not logged.",
        *foot.foot([study], None),
    )
    columns, rows = _with_numbers(columns, rows)
    yield Table("norms", f"{study.experiment} · {study.model} · norms", tuple(columns), tuple(rows), notes, _of(study))


BY_PROTOCOL: dict[str, Callable[[Study, Protocol], Iterator[Table]]] = {
    "retention": retention,
    "continual": continual,
    "matrix": matrix,
    "differences": differences,
}
BY_STUDY: dict[str, Callable[[Study], Iterator[Table]]] = {
    "losses": losses,
    "cost": cost,
    "merges": merges,
    "norms": norms,
}
GENERAL = ("retention", "continual", "matrix", "losses", "cost", "merges")
"""The tables that a report shows if none is named."""


def metric_name(protocol: Protocol) -> str:
    """Return the heading of the protocol's main metric."""
    return protocol.main.heading


def _retention_columns(study: Study, protocol: Protocol) -> list[Column]:
    main = protocol.main.id
    columns = [Column("trained on", "label"), LABEL]
    for i, name in enumerate(protocol.learned):
        of = {"role": "task", "at": "learned", "metric": name}
        columns.append(
            Column(
                metric(name).heading,
                of=of,
                group="learned",
                digits=1,
                spare=5 if i else 0,
                interval="room" if i else "ends",
            )
        )
    if study.mode == "sequence":
        of = {"role": "task", "at": "end", "metric": main}
        columns.append(Column(metric(main).heading, of=of, group="final", digits=1, spare=8, interval="room"))
    of = {"role": "probe", "at": "start", "metric": main}
    columns.append(Column(metric(main).heading, of=of, group="start", digits=1, spare=4))
    for i, name in enumerate(protocol.metrics):
        of = {"role": "probe", "at": "end", "metric": name}
        columns.append(
            Column(
                metric(name).heading,
                of=of,
                group="probe",
                digits=1,
                spare=1 if i > 1 else 6 if i else 0,
                interval="room" if i else "half" if protocol.main.percent else "ends",
            )
        )
    of = {"role": "probe", "at": "end", "metric": f"{main}:retention"}
    columns.append(Column("%", of=of, group="kept", digits=1, interval="ends"))
    return [*columns, Column("n", "label", spare=3), Column("seeds", "label", spare=2)]


def _retention_numbers(
    study: Study, protocol: Protocol, columns: Sequence[Column], arms: Sequence[Arm], sequence: tuple[str, ...]
) -> list[Cell]:
    """Return the numbers of a row: of one arm, or the mean over several sequences' arms."""
    cells = []
    for column in (column for column in columns if column.kind == "number"):
        name, role, at = column.of["metric"], column.of["role"], column.of["at"]
        if name.endswith(":retention"):
            cells.append(study.mean_retention(arms, protocol.id, protocol.main.id))
        elif at == "start" and all(arm.is_base for arm in arms):
            cells.append(Cell(spread="the base has no start of its own"))
        elif role == "probe":
            cells.append(mean_cell([Spot(a, protocol.id, name, "probe", study.probe_name, at) for a in arms]))  # type: ignore[arg-type]
        else:
            spots = [
                Spot(arm, protocol.id, name, "task", task, at)  # type: ignore[arg-type]
                for arm in arms
                for task in (sequence if arm.is_base else arm.sequence)
            ]
            cells.append(mean_cell(spots))
    return cells


def _row(
    columns: Sequence[Column],
    section: str,
    label: str,
    numbers: Sequence[Cell],
    arm: Arm,
    tied: dict[str, bool],
    protocol: Protocol,
) -> Row:
    entries: list[str | Number] = [section, label]
    shown = [column for column in columns if column.kind == "number"]
    for column, cell in zip(shown, numbers, strict=True):
        main = column.of["metric"].split(":")[0] == protocol.main.id
        entries.append(Number(cell, best=main and tied.get(column.group, False)))
    n = next((c.n for column, c in zip(shown, numbers, strict=True) if column.group == "probe" and c.n), "–")
    seeds = ", ".join(map(str, arm.seeds)) or "–"
    of = {"method": arm.method, "sequence": section}
    return Row((*entries, str(n), seeds), of, section, arm.name in ("base", "mtl"))


def _mean_rows(study: Study, protocol: Protocol, columns: Sequence[Column]) -> list[Row]:
    """Return a mean row over the tasks of a separate experiment for each method that has them all."""
    single = [sequence for sequence in study.sequences if len(sequence) == 1]
    if len(single) < 2:
        return []
    section = f"{SEPARATE} {len(single)}"
    rows = []
    for method in ("base", *study.methods):
        arms = [study.base] * len(single) if method == "base" else [study.arm(method, s) for s in single]
        there = [arm for arm in arms if arm is not None]
        if len(there) == len(single):
            tasks = tuple(task for sequence in single for task in sequence)
            over = [study.base] if method == "base" and study.base else there
            numbers = _retention_numbers(study, protocol, columns, over, tasks)
            rows.append(_row(columns, section, method, numbers, there[0], {}, protocol))
    return rows


def _constant_rows(
    study: Study, protocol: Protocol, sequence: tuple[str, ...], columns: Sequence[Column]
) -> Iterator[Row]:
    """Yield what answering without reading scores: the best constant answer, and a choice drawn at random."""
    notes: dict[str, DataNote] = {}
    for run in study.runs:
        notes |= run.record.data
    parts = study.runs[0].record.probe_parts
    for label, of_task, of_probe in (
        ("majority answer", "majority", "probe_majority"),
        ("random choice", "chance", "probe_chance"),
    ):
        learned = [getattr(notes[task], of_task) if task in notes else None for task in sequence]
        probe = [(getattr(notes[part], of_probe), notes[part].probe_rows) for part in parts if part in notes]
        cells = {"learned": _mean([(value, 1) for value in learned]), "probe": _mean(probe)}
        entries: list[str | Number] = [sequence_name(sequence), label]
        for column in columns[2:]:
            shown = column.of.get("metric") == "accuracy" and column.group in cells
            entries.append("" if column.kind == "label" else Number(cells[column.group] if shown else Cell()))
        if any(isinstance(entry, Number) and not entry.cell.missing for entry in entries):
            yield Row(
                tuple(entries), {"method": label, "sequence": sequence_name(sequence)}, sequence_name(sequence), True
            )


def _mean(values: Sequence[tuple[float | None, int]]) -> Cell:
    known = [(value, weight) for value, weight in values if value is not None]
    if not known or len(known) < len(values):
        return Cell()
    return Cell(math.fsum(value * weight for value, weight in known) / sum(weight for _, weight in known))


def _arms(study: Study, sequence: tuple[str, ...]) -> list[Arm]:
    """Return the arms on a sequence, multi-task training first: it is the upper bound."""
    arms = [arm for arm in study.arms if arm.sequence == sequence]
    return sorted(arms, key=lambda arm: arm.name != "mtl")


def _scored(study: Study, protocol: Protocol, arms: Sequence[Arm]) -> bool:
    """Return whether a run of ``arms``, or the base where there is none, was scored by the protocol at all."""
    runs = [run for arm in arms for run in arm.runs] or list(study.runs)
    return any(score.protocol == protocol.id for run in runs for score in run.record.scores)


def _told(row: Row) -> bool:
    return any(_value(row, i) for i in range(len(row.entries)))


def _value(row: Row, i: int) -> bool:
    """Return whether there is a number in a column."""
    entry = row.entries[i]
    return isinstance(entry, Number) and not entry.cell.missing


def _with_numbers(
    columns: Sequence[Column], rows: Sequence[Row], asked: Sequence[bool] = ()
) -> tuple[list[Column], list[Row]]:
    """Return a table without the columns that have no number in any row; those that were ``asked`` for stay."""
    keep = asked or [False] * len(columns)
    shown = [i for i, c in enumerate(columns) if c.kind == "label" or keep[i] or any(_value(row, i) for row in rows)]
    return [columns[i] for i in shown], [replace(r, entries=tuple(r.entries[i] for i in shown)) for r in rows]


def _over_runs(arm: Arm, values: Sequence[float | None], scale: float = 1.0) -> Number:
    """Return the mean over an arm's runs of a number that some may lack."""
    known = [value for value in values if value is not None]
    return Number(Cell(scale * math.fsum(known) / len(known) if known else MISSING, seeds=arm.seeds))


def _summary(figures: Mapping[str, Sequence[float]], metric: str) -> float | None:
    """Return what a run's logged values come to: of Res the one that ``metric`` names, else the last in percent."""
    name, _, which = metric.partition(":")
    values = figures.get(name)
    if not values:
        return None
    if not which:
        return 100 * values[-1]
    return min(values) if which == "least" else max(values) if which == "greatest" else values[-1]


def _after(after: str) -> str:
    return "all at once" if after == MIXED else after


def _title(study: Study, protocol: Protocol) -> str:
    only = study.sequences[0][0] if study.mode == "separate" and len(study.sequences) == 1 else ""
    trained = f" · trained on {only}" if only else ""
    return f"{study.experiment} · {study.model}{trained} · {protocol.heading} · probe {study.probe_name}"


def _of(study: Study, protocol: Protocol | None = None) -> dict[str, str]:
    return study.names | ({"protocol": protocol.id} if protocol else {})


def _reading(study: Study, protocol: Protocol) -> str:
    sequence = study.mode == "sequence"
    when = "right after each task was trained, mean over tasks" if sequence else "after training on it"
    last = "; final: the same tasks at the end of the sequence" if sequence else ""
    mine, base = f"probe {protocol.main.heading}", f"base's probe {protocol.main.heading}"
    ratio = f"{mine} / {base}" if protocol.main.percent else f"{base} / {mine}, for lower is better"
    kept = f" Kept = 100 · {ratio}; a method that learns nothing keeps everything."
    return (
        f"Learned: test rows of the trained task, {when}{last}. Probe: at the end of the run; start: the probe before "
        f"the first step, where the method does not start as the base; n: the probe's rows.{kept}"
    )
