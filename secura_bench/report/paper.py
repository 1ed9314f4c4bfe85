"""The SECURA paper's own tables, made from records, and beside what was published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from secura_bench.records import RunRecord
from secura_bench.report import foot
from secura_bench.report.metrics import metric as known
from secura_bench.report.published import (
    AVERAGE,
    MEAN,
    MODELS,
    QA,
    SEQUENTIAL,
    SOURCE,
    Place,
    flaws,
    printed,
    rank_correlation,
    tolerance,
)
from secura_bench.report.study import Arm, At, Cell, Role, Spot, Study, mean_cell
from secura_bench.report.table import Column, Number, Row, Table

PROTOCOL = "teacher_forced"
MCQ_TASKS = ("absnarr", "objcount", "playdiag", "colorreason")
QA_TASKS = ("gsm8k", "newsde", "newsit", "newses", "alpaca")
EXP2_TASKS = ("absnarr", "disflqa", "langid", "logdeduc", "objcount", "playdiag", "colorreason", "trackobj")
EXP3_TASKS = (
    "absnarr", "disflqa", "cnndm", "langid", "lingpuzz", "logdeduc", "newsde", "newses", "newsit", "objcount",
    "playdiag", "questsel", "colorreason", "stratqa", "trackobj", "alpaca",
)  # fmt: skip
PEFT = ("lora", "dora", "cur_lora", "i_lora", "secura")
CONTINUAL = ("seq", "ewc", "er", "i_lora", "secura")

STEPS, BATCH, PROBE_ROWS = 2000, 1, 500
_EXP1_LR = {"lora": 1e-5, "dora": 1e-4, "cur_lora": 1e-4, "i_lora": 1e-3, "secura": 1e-3}
LEARNING_RATES = {"exp1": _EXP1_LR, "exp2": dict.fromkeys(PEFT, 1e-3), "exp3": dict.fromkeys(CONTINUAL, 1e-5)}
"""The published code's learning rates by experiment."""
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "lora": {"r": 8},
    "dora": {"r": 8},
    "cur_lora": {"r": 150},
    "i_lora": {"r": 8},
    "secura": {"r": 150, "m": 200},
}
"""The published settings of the methods, where they have any."""


@dataclass(frozen=True)
class Part:
    """What one experiment gives to a table: the score of ``tasks`` themselves, or of the probe after them."""

    experiment: Literal["exp1", "exp2", "exp3"]
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def mode(self) -> str:
        """The mode of the experiment's runs."""
        return "sequence" if self.experiment == "exp3" else "separate"


@dataclass(frozen=True)
class Shape:
    """One of the paper's tables: its parts, methods, models; ``merged`` averages over models and QA metrics.

    ``vary`` is the option whose values the rows are, in an ablation.
    """

    id: str
    caption: str
    parts: tuple[Part, ...]
    methods: tuple[str, ...] = PEFT
    models: tuple[str, ...] = MODELS
    merged: bool = False
    vary: str = ""
    values: tuple[object, ...] = ()


_MCQ, _QA = Part("exp1", MCQ_TASKS, ("accuracy",)), Part("exp1", QA_TASKS, QA)
_EXP2 = Part("exp2", EXP2_TASKS, QA)
SHAPES = {
    shape.id: shape
    for shape in (
        Shape("1", "EXP1: what each method learns, averages", (_MCQ, replace(_QA, metrics=(MEAN,))), merged=True),
        Shape("2", "EXP2: the F-task after each task, averages", (replace(_EXP2, metrics=(MEAN,)),), merged=True),
        Shape(
            "3", "EXP2: SECURA's fusion step", (replace(_EXP2, metrics=(MEAN,)),), ("secura",),
            ("qwen2-7b", "llama3.1-8b"), vary="fusion_step", values=(1, 200),
        ),
        Shape(
            "4", "EXP1 and EXP2: SECURA's merge", (_MCQ, replace(_EXP2, tasks=MCQ_TASKS)), ("secura",),
            ("gemma2-2b",), vary="merge", values=("m1", "m2"),
        ),
        Shape("8", "EXP1: multiple choice by model", (_MCQ,)),
        Shape("9", "EXP1: question answering by model", (_QA,)),
        Shape("10", "EXP2: the F-task after each task, by model", (_EXP2,)),
        *(
            Shape(table, "EXP3: the F-task every 1,000 steps", (Part("exp3", EXP3_TASKS, QA),), CONTINUAL, (model,))
            for model, table in SEQUENTIAL.items()
        ),
    )
}  # fmt: skip
"""The paper's tables of scores by number."""
PAPER = (*SHAPES, "6", "7")


@dataclass(frozen=True)
class _Source:
    """The studies a part is read from, by model."""

    part: Part
    studies: Mapping[str, Study]


def paper_tables(studies: Sequence[Study], wanted: Sequence[str], against: bool) -> Iterator[Table]:
    """Yield the ``wanted`` tables in the paper's shapes, from the records that there are; gaps stay gaps."""
    shapes = [SHAPES[name] for name in wanted if name in SHAPES]
    tables = [table for shape in shapes for table in _scores(shape, studies, against)]
    yield from tables
    if {"6", "7"} & set(wanted):
        yield from _parameters(studies, [] if tables or not shapes else [_NONE])


_NONE = (
    "None of these records stands in a table of the paper's scores: those are teacher_forced scores of models trained "
    "on its tasks (`secura-bench ls configs` names specs that make them)."
)


def _scores(shape: Shape, studies: Sequence[Study], against: bool) -> Iterator[Table]:
    """Yield a table of scores if there is a number in it."""
    sources = [_Source(part, _studies_for(studies, part)) for part in shape.parts]
    if shape.id in SEQUENTIAL.values():
        if _sequential_model(shape, sources[0]):
            yield _sequential(shape, sources[0], against)
    elif any(source.studies for source in sources):
        table = _table(shape, sources, against)
        entries = [entry for row in table.rows for entry in row.entries]
        if any(isinstance(entry, Number) and not entry.cell.missing for entry in entries):
            yield table


def _studies_for(studies: Sequence[Study], part: Part) -> dict[str, Study]:
    """Return the studies of a part's kind by model: called as the paper's experiment, else not as another one of it."""
    fitting = [
        study
        for study in studies
        if study.mode == part.mode
        and PROTOCOL in study.protocols
        and any(set(sequence) & set(part.tasks) for sequence in study.sequences)
    ]
    named = [study for study in fitting if study.experiment.startswith(part.experiment)]
    others = [study for study in fitting if not study.experiment.startswith(tuple(LEARNING_RATES))]
    return {study.model: study for study in named or others}


def _table(shape: Shape, sources: Sequence[_Source], against: bool) -> Table:
    there = {model for source in sources for model in source.studies}
    others = (
        there - set(shape.models) - ({m for m in there if not _is_varied(shape, sources, m)} if shape.vary else set())
    )
    models = [model for model in shape.models if model in there] + sorted(others)
    columns = [Column("model", "label"), Column("method", "label")]
    for source in sources:
        role = "task" if source.part.experiment == "exp1" else "probe"
        for task in source.part.tasks:
            for name in source.part.metrics:
                of = {"role": role, "sequence": task, "metric": name, "experiment": source.part.experiment}
                plain = len(source.part.metrics) == 1
                heading, group = (task, "") if plain else (known(name).heading, task)
                columns.append(Column(heading, of=of, group=group or ("F-task after" if role == "probe" else "on")))
    several = len(models) > 1 and shape.id in ("1", "2", "8", "9", "10")
    sections: list[tuple[str, list[str]]] = [] if shape.merged else [(model, [model]) for model in models]
    if shape.merged or several:
        full = set(models) >= set(shape.models)
        inside = [model for model in models if model in shape.models] or models
        sections.append((AVERAGE if full else f"average of {', '.join(inside)}", inside))
    rows: list[Row] = []
    for section, of_models in sections:
        lines = _lines(shape, sources, of_models)
        for label, name, variant in lines:
            entries = []
            for source in sources:
                for task in source.part.tasks:
                    for metric in source.part.metrics:
                        cell, records = _cell(source, of_models, label, task, metric)
                        model = AVERAGE if shape.merged or section == AVERAGE else section
                        varied = f"{source.part.experiment} {variant}" if shape.id == "4" else variant
                        place = Place(shape.id, model, task, name, metric, variant=varied)
                        reasons = _not_the_same(shape, of_models) if shape.merged else []
                        entries.append(_beside(cell, place, records, source.part, against, reasons))
            strong, shown = name in ("base", "mtl"), f"{name} {shape.vary}={variant}" if variant else label
            if variant and sum(line[1:] == (name, variant) for line in lines) > 1:  # they differ in what is not varied
                shown += f" ({label})"
            rows.append(Row((section, shown, *entries), {"model": section, "method": shown}, section, strong))
    used = list({id(study): study for source in sources for study in source.studies.values()}.values())
    notes = _notes(shape, used, rows, columns, against, set(shape.models) - there)
    return Table(shape.id, f"Table {shape.id} · {shape.caption}", tuple(columns), tuple(rows), notes, _of())


def _not_the_same(shape: Shape, models: Sequence[str]) -> list[str]:
    """Return why an average over ``models`` is not the published one: it lacks some of the paper's models."""
    inside = [model for model in models if model in shape.models]
    missing = len(shape.models) - len(inside)
    return [f"average of {len(inside)} of the paper's {len(shape.models)} models"] if inside and missing else []


def _lines(shape: Shape, sources: Sequence[_Source], models: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return a section's lines: label in the studies, published name ("" if there is none) and variant.

    First base and MTL, then the paper's methods, there or not, then whatever else was run.
    """
    arms = {
        arm.method: arm
        for source in sources
        for model in models
        if model in source.studies
        for arm in source.studies[model].arms
    }
    lines: list[tuple[str, str, str]] = [("base", "base", "")]
    lines += [(label, "mtl", "") for label, arm in arms.items() if arm.name == "mtl"]
    for name in shape.methods:
        for value in shape.values or (None,):
            mine = [
                label
                for label, arm in arms.items()
                if arm.name == name and _varies(arm.runs[0].record, shape.vary, value)
            ]
            variant = "" if value is None else str(value)
            lines += [(label, name, variant) for label in mine] or [(f"{name} {variant}".strip(), name, variant)]
    if not shape.vary:
        known_labels = {label for label, _, _ in lines}
        lines += [(label, "", "") for label in arms if label not in known_labels]
    return lines


def _is_varied(shape: Shape, sources: Sequence[_Source], model: str) -> bool:
    """Return whether a model was run with another value than the default of what a shape varies."""
    studies = [source.studies[model] for source in sources if model in source.studies]
    values = {
        run.record.method["options"].get(shape.vary, _DEFAULTS[shape.vary])
        for study in studies
        for arm in study.arms
        if arm.name in shape.methods
        for run in arm.runs
    }
    return len(values) > 1


_DEFAULTS: Mapping[str, object] = {"fusion_step": 1, "merge": "m1"}


def _varies(record: RunRecord, vary: str, value: object) -> bool:
    """Return whether a run has an ablation's value, or outside of one the published values of what ablations vary."""
    options = record.method["options"]
    if vary:
        others = {key: default for key, default in _DEFAULTS.items() if key != vary}
        return options.get(vary, _DEFAULTS[vary]) == value and all(
            options.get(key, default) == default for key, default in others.items()
        )
    return record.method["name"] != "secura" or all(options.get(key, v) == v for key, v in _DEFAULTS.items())


def _cell(
    source: _Source, models: Sequence[str], label: str, task: str, metric: str
) -> tuple[Cell, list[tuple[Study, RunRecord]]]:
    """Return the mean over models and metrics, and the records behind it."""
    spots, records = [], []
    for model in models:
        study = source.studies.get(model)
        arm = None if study is None else study.base if label == "base" else _arm(study, label, task)
        if study is None or arm is None:
            return Cell(spread=f"no record of {label} on {model}"), []
        role: Role = "task" if source.part.experiment == "exp1" else "probe"
        at: At = "learned" if role == "task" else "end"
        scored = task if role == "task" else study.probe_name
        spots += [Spot(arm, PROTOCOL, name, role, scored, at) for name in (QA if metric == MEAN else (metric,))]
        records += [(study, run.record) for run in arm.runs]
    return mean_cell(spots), records


def _arm(study: Study, label: str, task: str) -> Arm | None:
    """Return a method's arm on a task alone, or of multi-task training the one that has the task."""
    alone = study.arm(label, (task,))
    mixed = (arm for arm in study.arms if arm.method == label and arm.name == "mtl" and task in arm.sequence)
    return alone or next(mixed, None)


def _sequential(shape: Shape, source: _Source, against: bool) -> Table:
    """Return Table 11 or 12: a row a stage of the sequence, a column a method and metric."""
    model = _sequential_model(shape, source)
    study = source.studies[model]
    sequence = max(study.sequences, key=lambda s: (s == EXP3_TASKS, len(set(s) & set(EXP3_TASKS)), len(s)))
    arms = [arm for arm in study.arms if arm.sequence == sequence and arm.name != "mtl"]
    names = [name for name in CONTINUAL if not any(arm.name == name for arm in arms)]
    arms.sort(key=lambda arm: (CONTINUAL.index(arm.name) if arm.name in CONTINUAL else 99, arm.method))
    columns = [Column("after", "label"), Column("step", "label")]
    labels = [("base", "base"), *((arm.method, arm.name) for arm in arms), *((name, name) for name in names)]
    for label, _ in labels:
        for metric in QA:
            of = {"role": "probe", "method": label, "metric": metric}
            columns.append(Column(known(metric).heading, of=of, group=label))
    moments = sorted(
        {moment for arm in arms for moment in arm.moments if moment.after in sequence},
        key=lambda m: (sequence.index(str(m.after)), m.step, m.finished),
    )
    rows = []
    by_label = {arm.method: arm for arm in arms}
    for moment in moments:
        entries = []
        for label, name in labels:
            arm = study.base if label == "base" else by_label.get(label)
            at: At = "end" if label == "base" else moment
            for metric in QA:
                place = Place(shape.id, shape.models[0], str(moment.after), name, metric, moment.step)
                cell = study.probe(arm, PROTOCOL, metric, at)
                records = [(study, run.record) for run in arm.runs] if arm else []
                reasons = [] if model == shape.models[0] else [f"another model ({model})"]
                entries.append(_beside(cell, place, records, source.part, against, reasons))
        of = {"after": str(moment.after), "step": str(moment.step)}
        rows.append(Row((str(moment.after), str(moment.step), *entries), of, str(moment.after)))
    notes = _notes(shape, [study], rows, columns, against, set())
    title = f"Table {shape.id} · {shape.caption} · {model}"
    return Table(shape.id, title, tuple(columns), tuple(rows), notes, _of() | {"model": model})


def _sequential_model(shape: Shape, source: _Source) -> str:
    """Return the model of Table 11 or 12: the paper's, or in Table 11 another in its shape; empty if there is none."""
    others = [name for name in source.studies if name not in SEQUENTIAL] if shape.id == "11" else []
    return next((name for name in (*shape.models, *others) if name in source.studies), "")


def _beside(
    cell: Cell,
    place: Place,
    records: Sequence[tuple[Study, RunRecord]],
    part: Part,
    against: bool,
    others: Sequence[str] = (),
) -> Number:
    """Return a cell beside the published number, if that was asked for; ``others`` are reasons why not to compare."""
    if not against:
        return Number(cell)
    published, wrong = printed().get(place), flaws().get(place, ())
    if cell.missing:
        return Number(cell) if published is None else Number(cell, published=published, verdict="not run", flaws=wrong)
    reasons = sorted({*others, *(reason for study, record in records for reason in why_not(study, record, part))})
    if published is None:
        return Number(cell, verdict="n/c", reason="; ".join([*reasons, "the paper has no number here"]))
    difference = cell.value - published
    if reasons:
        verdict, reason = "n/c", "; ".join(reasons)
    elif abs(difference) <= tolerance(place) + 1e-9:
        verdict, reason = "same", ""
    elif cell.interval is None:
        verdict, reason = "no interval", cell.why
    elif published in cell.interval:
        verdict, reason = "within", ""
    else:
        verdict, reason = ("higher" if difference > 0 else "lower"), ""
    return Number(cell, published=published, difference=difference, verdict=verdict, reason=reason, flaws=wrong)


def why_not(study: Study, record: RunRecord, part: Part) -> list[str]:
    """Return why a run's scores cannot be compared with the paper's: other model, data, rows or training."""
    reasons = []
    if study.model not in MODELS:
        reasons.append(f"another model ({study.model})")
    data = record.data
    used = [*record.tasks, *(record.probe_parts if part.experiment != "exp1" else ())]
    stand_ins = sorted({name for name in used if name in data and data[name].stand_in})
    if stand_ins:
        reasons.append(f"stand-in data ({', '.join(stand_ins)})")
    if record.limit is not None:
        reasons.append(f"test rows limited to {record.limit}")
    name, train, options = record.method["name"], record.method["train"], record.method["options"]
    rate = LEARNING_RATES[part.experiment].get(name)
    for key, expected in (("steps", STEPS), ("batch_size", BATCH), ("lr", rate)):
        if expected is not None and key in train and train[key] != expected:
            reasons.append(f"other training ({key} {train[key]}, not {expected})")
    for key, setting in OPTIONS.get(name, {}).items():
        if key in options and options[key] != setting:
            reasons.append(f"other settings ({key} {options[key]}, not {setting})")
    return reasons


def _notes(
    shape: Shape,
    studies: Sequence[Study],
    rows: Sequence[Row],
    columns: Sequence[Column],
    against: bool,
    without: set[str],
) -> tuple[str, ...]:
    lines = [_reading(shape)]
    if without and not (without & {study.model for study in studies}):
        lines.append(f"No records of {', '.join(model for model in MODELS if model in without)}.")
    if any(part.metrics == ("accuracy",) for part in shape.parts):
        lines.append(
            "The paper does not say what its accuracy is, nor does its code: here all answer tokens are right."
        )
    if against:
        lines += _against(shape, rows, columns)
    metrics = {*QA, "accuracy"}
    return (*lines, *foot.foot(studies, PROTOCOL, metrics))


def _reading(shape: Shape) -> str:
    said = "–: no record. Rows of base and MTL are not in the paper; other methods' are yours."
    if shape.parts[0].experiment == "exp1":
        return f"Each task trained alone and scored on its own test rows. {said}"
    if shape.parts[0].experiment == "exp2":
        return f"Each task trained alone; scores are the probe's. MTL: one run on all tasks. {said}"
    return f"Tasks one after another; scores are the probe's, those at a task's end after its merge. {said}"


def _against(shape: Shape, rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Return what the comparison came to: verdicts, reasons, flaws of the published numbers, and ranks."""
    numbers = [entry for row in rows for entry in row.entries if isinstance(entry, Number)]
    compared = [entry for entry in numbers if entry.verdict]
    counts = {verdict: sum(entry.verdict == verdict for entry in compared) for verdict in VERDICTS}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    told = [f"{verdict}: {meaning}" for verdict, meaning in VERDICTS.items() if counts[verdict]]
    marks = ["!: the published number cannot be right"] if any(entry.flaws for entry in compared) else []
    lines = [
        f"In parentheses: the paper's number ({SOURCE}), this bench's less it, and the verdict. "
        f"{'; '.join([*told, *marks])}. Of {_numbers(len(compared))}: {said}."
    ]
    reasons: dict[str, int] = {}
    wrong: dict[str, int] = {}
    for entry in compared:
        if entry.verdict == "n/c":
            reasons[entry.reason] = reasons.get(entry.reason, 0) + 1
        for flaw in entry.flaws:
            kind = flaw.split(":")[0].split(" (")[0]
            wrong[kind] = wrong.get(kind, 0) + 1
    lines += [f"n/c, {_numbers(count)}: {reason}." for reason, count in reasons.items()]
    lines += [f"!, {_numbers(count)}: {flaw}." for flaw, count in wrong.items()]
    return lines + _ranks(shape, rows, columns)


def _numbers(count: int) -> str:
    return "1 number" if count == 1 else f"{count} numbers"


VERDICTS = {
    "same": "to the printed digits",
    "within": "the published number lies in this bench's 95 % interval",
    "higher": "this bench's number, and its interval, lie above the published one",
    "lower": "they lie below it",
    "no interval": "it differs, and there are too few items or seeds here to say whether by chance",
    "n/c": "not comparable, for the reasons below",
    "not run": "no record here",
}
"""What a comparison with a published number can come to."""


def _ranks(shape: Shape, rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Return how the methods' order by mean score agrees with the published one, section by section."""
    groups: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        for column, entry in zip(columns, row.entries, strict=True):
            if isinstance(entry, Number) and entry.published is not None and not entry.cell.missing:
                of = {**row.of, **column.of}
                section = "" if shape.id in ("11", "12") else row.section
                pairs = groups.setdefault(section, {}).setdefault(of["method"], [])
                pairs.append((entry.cell.value, entry.published))
    orders = []
    for section, methods in groups.items():
        complete = max(map(len, methods.values()))
        means = [
            (sum(ours for ours, _ in pairs) / len(pairs), sum(theirs for _, theirs in pairs) / len(pairs))
            for pairs in methods.values()
            if len(pairs) == complete
        ]
        found = rank_correlation([ours for ours, _ in means], [theirs for _, theirs in means])
        if found:
            where = f"{section}: " if section else ""
            orders.append(f"{where}{len(means)} methods, ρ {found[0]:.2f}, τ {found[1]:.2f}")
    if not orders:
        return []
    what = "Order of the methods by mean score against the published order (Spearman's ρ, Kendall's τ; 1 is the same)"
    return [f"{what}. {'; '.join(orders)}."]


def _parameters(studies: Sequence[Study], notes: Sequence[str]) -> Iterator[Table]:
    """Yield the parameter columns of Tables 6 and 7: what each method trains, here and as published."""
    columns = [Column("model", "label"), Column("method", "label")]
    columns += [
        Column("trained", of={"metric": "trained"}, digits=0),
        Column("with a gradient", of={"metric": "trained_with_gradient"}, digits=0),
        Column("held", of={"metric": "held"}, digits=0),
        Column("per layer", of={"metric": "trained_per_layer"}, digits=0),
        Column("published", of={"metric": "published_per_layer"}, group="per layer,", digits=0),
    ]
    rows: dict[tuple[str, str], Row] = {}
    for study in studies:
        for arm in study.arms:
            counts = arm.runs[0].record.parameters
            keys = ("trainable", "effective", "held", "per_layer", "published_per_layer")
            found = [counts.get(key) for key in keys]
            if not any(found):
                continue
            numbers = [Number(Cell() if value is None else Cell(float(value))) for value in found]
            of = {"model": study.model, "method": arm.method}
            rows[study.model, arm.method] = Row((study.model, arm.method, *numbers), of, study.model)
    if rows:
        told = (
            *notes,
            "Trained: given to the optimizer; of these with a gradient; held: beside the model. Per layer: trained, a "
            f"decoder layer. Published ({SOURCE}): at width 4096 and h = d, by the paper's own counting, which for "
            "I-LoRA includes the averaged copy and for CUR-LoRA is twice U's.",
            *foot.foot(studies, None),
        )
        yield Table("6", "Tables 6 and 7 · parameters", tuple(columns), tuple(rows.values()), told, {})


def _of() -> dict[str, str]:
    return {"protocol": PROTOCOL}
