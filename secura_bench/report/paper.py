"""The SECURA paper's own tables, made from records, and beside what was published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from secura_bench.records import RunRecord
from secura_bench.report import foot
from secura_bench.report.against import UNPUBLISHED, beside, marked, ranks, verdicts
from secura_bench.report.metrics import metric as known
from secura_bench.report.published import AVERAGE, MEAN, MODELS, QA, SEQUENTIAL, SOURCE, Place
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

STEPS, BATCH, PROBE, PROBE_ROWS = 2000, 1, "f_task", 500
_LENGTH = {"steps": STEPS, "batch_size": BATCH}
_EXP1_LR = {"lora": 1e-5, "dora": 1e-4, "cur_lora": 1e-4, "i_lora": 1e-3, "secura": 1e-3}
LEARNING_RATES = {"exp1": _EXP1_LR, "exp2": dict.fromkeys(PEFT, 1e-3), "exp3": dict.fromkeys(CONTINUAL, 1e-5)}
"""The published code's learning rates by experiment."""
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "lora": {"r": 8},
    "dora": {"r": 8},
    "cur_lora": {"r": 150},
    "i_lora": {"r": 8},
    "cabr_lora": {"r": 150, "m": 200},
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
    behind: Sequence[Study] = ()


@dataclass(frozen=True)
class _Line:
    """A row's, or in EXP3 a column's, method: label in the studies, published name ("" if there is none), variant.

    ``instead`` is the arm that the paper's row is taken from, where this one is of the same method and is not it.
    """

    label: str
    name: str
    variant: str = ""
    instead: str = ""


def paper_tables(studies: Sequence[Study], wanted: Sequence[str], against: bool) -> Iterator[Table]:
    """Yield the ``wanted`` tables in the paper's shapes, from the records that there are; gaps stay gaps."""
    shapes = [SHAPES[name] for name in wanted if name in SHAPES]
    tables = [table for shape in shapes for table in _scores(shape, studies, against)]
    yield from tables
    if {"6", "7"} & set(wanted):
        yield from _parameters(studies, against, [] if tables or not shapes else [_NONE])


_NONE = (
    "None of these records stands in a table of the paper's scores: those are teacher_forced scores of models trained "
    "on its tasks (`secura-bench ls configs` names specs that make them)."
)


def _scores(shape: Shape, studies: Sequence[Study], against: bool) -> Iterator[Table]:
    """Yield a table of scores if there is a number in it."""
    sources = [_Source(part, *_studies_for(studies, part, shape.vary)) for part in shape.parts]
    if shape.id in SEQUENTIAL.values():
        if _sequential_model(shape, sources[0]):
            yield _sequential(shape, sources[0], against)
    elif any(source.studies for source in sources):
        table = _table(shape, sources, against)
        entries = [entry for row in table.rows for entry in row.entries]
        if any(isinstance(entry, Number) and not entry.cell.missing for entry in entries):
            yield table


def _studies_for(studies: Sequence[Study], part: Part, vary: str) -> tuple[dict[str, Study], list[Study]]:
    """Return the studies of a part's kind by model, and those that stand behind them.

    Before all others comes an ablation's own study, where one is asked for; then one that is called as the paper's
    experiment; none that is called as another of its experiments.
    """
    fitting = [
        study
        for study in studies
        if study.mode == part.mode
        and PROTOCOL in study.protocols
        and any(set(sequence) & set(part.tasks) for sequence in study.sequences)
        and (part.experiment in study.experiment or not any(name in study.experiment for name in LEARNING_RATES))
    ]

    def order(study: Study) -> tuple[object, ...]:
        name = study.experiment
        called = (name != part.experiment, not name.startswith(part.experiment), part.experiment not in name)
        ablation = len(_values(study, vary)) > 1 if vary else False
        return (not ablation, ablation and name.startswith(tuple(LEARNING_RATES)), *called, name)

    found: dict[str, Study] = {}
    for study in sorted(fitting, key=order):
        found.setdefault(study.model, study)
    called = [study for study in found.values() if part.experiment in study.experiment]
    if called and not vary:
        found = {study.model: study for study in called}
    return found, [study for study in fitting if study.model in found and study is not found[study.model]]


def _table(shape: Shape, sources: Sequence[_Source], against: bool) -> Table:
    there = {model for source in sources for model in source.studies}
    others = there - set(shape.models)
    if shape.vary:
        others = {
            m for m in others if any(len(_values(s.studies[m], shape.vary)) > 1 for s in sources if m in s.studies)
        }
    models = [model for model in shape.models if model in there] + sorted(others)
    columns = [Column("model", "label"), Column("method", "label")]
    tasks = {id(source): _tasks(shape, source, models) for source in sources}
    for source in sources:
        role = "task" if source.part.experiment == "exp1" else "probe"
        for task in tasks[id(source)]:
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
        over = AVERAGE if full else f"average of {', '.join(inside)}" if len(inside) > 1 else inside[0]
        sections.append((over, inside))
    rows: list[Row] = []
    aside: dict[str, None] = {}
    for section, of_models in sections:
        lines, left = _lines(shape, sources, of_models)
        aside |= dict.fromkeys(left)
        for line in lines:
            entries = []
            for source in sources:
                for task in tasks[id(source)]:
                    for metric in source.part.metrics:
                        cell, records = _cell(source, of_models, line.label, task, metric)
                        model = AVERAGE if shape.merged or section == AVERAGE else section
                        varied = f"{source.part.experiment} {line.variant}" if shape.id == "4" else line.variant
                        place = Place(shape.id, model, task, line.name, metric, variant=varied)
                        reasons = [*_not_the_same(shape, of_models), *_not_this(line)]
                        entries.append(_number(cell, place, records, source.part, against, reasons))
            strong = line.name in ("base", "mtl")
            shown = f"{line.name} {shape.vary}={line.variant}" if line.variant else line.label
            rows.append(Row((section, shown, *entries), {"model": section, "method": shown}, section, strong))
    without = [model for model in MODELS if model in shape.models and model not in there]
    absent = {
        **{
            f"{source.part.experiment.upper()}: nothing was trained on {{}}, and there is no published number.": [
                task for task in source.part.tasks if task not in tasks[id(source)]
            ]
            for source in sources
        },
        "No records of {}.": without,
        "Left out, for another arm stands in the row: {}.": aside,
    }
    gaps = [sentence.format(", ".join(names)) for sentence, names in absent.items() if names]
    rows, notes = _told(shape, sources, rows, columns, against, gaps)
    title = f"Table {shape.id} · {shape.caption}{f' · {sections[0][0]}' if len(sections) == 1 else ''}"
    return Table(shape.id, title, tuple(columns), tuple(rows), notes, _of())


def _tasks(shape: Shape, source: _Source, models: Sequence[str]) -> list[str]:
    """Return the tasks of a part that are worth a column: where something was trained on them, or the paper has one."""
    if shape.merged or set(models) & set(shape.models):
        return list(source.part.tasks)
    trained = {
        task
        for model in models
        if model in source.studies
        for arm in source.studies[model].arms
        for task in arm.sequence
    }
    return [task for task in source.part.tasks if task in trained]


def _not_the_same(shape: Shape, models: Sequence[str]) -> list[str]:
    """Return why an average over ``models`` is not the published one: it lacks some of the paper's models."""
    if not shape.merged or set(models) >= set(shape.models):
        return []
    inside = len([model for model in models if model in shape.models])
    return [
        f"the paper's is an average over {len(shape.models)} models" + (f", this over {inside} of them" * bool(inside))
    ]


def _not_this(line: _Line) -> list[str]:
    return [f"not the paper's setting: its number stands beside {line.instead}"] if line.instead else []


def _lines(shape: Shape, sources: Sequence[_Source], models: Sequence[str]) -> tuple[list[_Line], list[str]]:
    """Return a section's lines, and the arms that an ablation leaves out.

    First base and MTL, then the paper's methods, there or not, then whatever else was run.
    """
    arms: dict[str, list[tuple[Arm, Part]]] = {}
    for source in sources:
        for model in models:
            for arm in source.studies[model].arms if model in source.studies else ():
                arms.setdefault(arm.method, []).append((arm, source.part))
    lines = [_Line("base", "base"), *(_Line(label, "mtl") for label, of in arms.items() if of[0][0].name == "mtl")]
    instead: dict[str, str] = {}
    for name in shape.methods:
        mine = {label: of for label, of in arms.items() if of[0][0].name == name}
        values = {value for of in mine.values() for arm, _ in of for value in _set(arm, shape.vary)}
        for value in (*shape.values, *sorted(values - {*shape.values}, key=str)) if shape.vary else (None,):
            variant = "" if value is None else str(value)
            fit = {label: of for label, of in mine.items() if _varies(of[0][0].runs[0].record, shape.vary, value)}
            chosen = the_papers(fit)
            lines.append(_Line(chosen or f"{name} {variant}".strip(), name, variant))
            instead |= {label: chosen for label in (fit if shape.vary else mine) if label != chosen}
    shown = {line.label for line in lines}
    if shape.vary:
        return lines, [label for label in instead if label not in shown]
    return lines + [_Line(label, "", "", instead.get(label, "")) for label in arms if label not in shown], []


def the_papers(arms: Mapping[str, Sequence[tuple[Arm, Part]]]) -> str:
    """Return the label of the arm that is the paper's own, or the nearest to it; empty where there is none.

    Nearest: with the fewest reasons why its training or its settings are not the published ones, then with the fewest
    options that the paper does not speak of, then the one that is called as the method.
    """

    def distance(label: str) -> tuple[object, ...]:
        runs = [(run.record, part) for arm, part in arms[label] for run in arm.runs]
        reasons = {reason for record, part in runs for reason in _not_its_settings(record, part)}
        options = runs[0][0].method["options"]
        strange = sum(options.get(key, stated) != stated for key, stated in {**_DEFAULTS, **_STATED}.items())
        return (len(reasons), strange, label != runs[0][0].method["name"], label)

    return min(arms, key=distance, default="")


def _values(study: Study, vary: str) -> set[object]:
    """Return the values of an option of SECURA's that a study has runs of."""
    return {value for arm in study.arms if arm.name == "secura" for value in _set(arm, vary)}


def _set(arm: Arm, vary: str) -> set[object]:
    """Return what an option is set to in an arm."""
    return {run.record.method["options"].get(vary, _DEFAULTS[vary]) for run in arm.runs} if vary else set()


_DEFAULTS: Mapping[str, object] = {"fusion_step": 1, "merge": "m1"}
"""What ablations vary, as it is outside of them."""
_STATED: Mapping[str, object] = {"signorm": "paper", "merge_dtype": "core"}
"""What the published code does otherwise than the paper's equations."""


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
    lines, _ = _lines(shape, [_alone(source, sequence)], [model])
    lines = [line for line in lines if line.name != "mtl"]
    columns = [Column("after", "label"), Column("step", "label")]
    for line in lines:
        for metric in QA:
            of = {"role": "probe", "method": line.label, "metric": metric}
            columns.append(Column(known(metric).heading, of=of, group=line.label))
    moments = sorted(
        {moment for arm in arms for moment in arm.moments if moment.after in sequence},
        key=lambda m: (sequence.index(str(m.after)), m.step, m.finished),
    )
    several = len(moments) > len({moment.after for moment in moments})
    rows = []
    by_label = {arm.method: arm for arm in arms}
    for moment in moments:
        entries = []
        step = STEPS if moment.finished else moment.step  # a task's end is its end, however many steps it had
        for line in lines:
            arm = study.base if line.label == "base" else by_label.get(line.label)
            at: At = "end" if line.label == "base" else moment
            for metric in QA:
                place = Place(shape.id, shape.models[0], str(moment.after), line.name, metric, step)
                cell = study.probe(arm, PROTOCOL, metric, at)
                records = [(study, run.record) for run in arm.runs] if arm else []
                reasons = [] if model == shape.models[0] else [f"another model ({model})"]
                if sequence != EXP3_TASKS:
                    reasons.append(f"another sequence ({len(sequence)} tasks)")
                entries.append(_number(cell, place, records, source.part, against, [*reasons, *_not_this(line)]))
        of = {"after": str(moment.after), "step": str(moment.step)}
        section = str(moment.after) if several else ""
        rows.append(Row((str(moment.after), str(moment.step), *entries), of, section))
    rows, notes = _told(shape, [replace(source, studies={model: study})], rows, columns, against, [])
    title = f"Table {shape.id} · {shape.caption} · {model}"
    return Table(shape.id, title, tuple(columns), tuple(rows), notes, _of() | {"model": model})


def _alone(source: _Source, sequence: tuple[str, ...]) -> _Source:
    """Return a source with the arms of one sequence alone."""
    arms = {
        model: replace(study, arms=tuple(arm for arm in study.arms if arm.sequence == sequence))
        for model, study in source.studies.items()
    }
    return replace(source, studies=arms)


def _sequential_model(shape: Shape, source: _Source) -> str:
    """Return the model of Table 11 or 12: the paper's, or in Table 11 another in its shape; empty if there is none."""
    others = [name for name in source.studies if name not in SEQUENTIAL] if shape.id == "11" else []
    return next((name for name in (*shape.models, *others) if name in source.studies), "")


def _number(
    cell: Cell,
    place: Place,
    records: Sequence[tuple[Study, RunRecord]],
    part: Part,
    against: bool,
    others: Sequence[str],
) -> Number:
    """Return a cell, beside the published number if that was asked for; ``others`` are reasons why not to compare."""
    if not against:
        return Number(cell)
    found = dict.fromkeys([*others, *(reason for study, record in records for reason in why_not(study, record, part))])
    return beside(cell, place, list(found))


def why_not(study: Study, record: RunRecord, part: Part) -> list[str]:
    """Return why a run's scores cannot be compared with the paper's: other model, data, rows or training."""
    reasons = [] if study.model in MODELS else [f"another model ({study.model})"]
    data, parts = record.data, record.probe_parts if part.experiment != "exp1" else ()
    stand_ins = sorted({name for name in [*record.tasks, *parts] if name in data and data[name].stand_in})
    if stand_ins:
        reasons.append(f"stand-in data ({', '.join(stand_ins)})")
    if part.experiment == "exp1":
        if record.limit is not None:
            reasons.append(f"test rows limited to {record.limit}")
    elif record.probe != PROBE:
        reasons.append(f"another probe ({record.probe})")
    elif (rows := sum(data[name].probe_rows for name in parts if name in data)) not in (0, PROBE_ROWS):
        reasons.append(f"{rows} rows of the probe, not {PROBE_ROWS}")
    return reasons + _not_its_settings(record, part)


def _not_its_settings(record: RunRecord, part: Part) -> list[str]:
    """Return in what a run's training and its method's settings are not the published ones."""
    name, train, options = record.method["name"], record.method["train"], record.method["options"]
    rate = LEARNING_RATES[part.experiment].get(name)
    length = [
        f"{key} {train[key]}, not {stated}" for key, stated in _LENGTH.items() if train.get(key, stated) != stated
    ]
    reasons = [f"other training ({', '.join(length)})"] if length else []
    if rate is not None and train.get("lr", rate) != rate:
        reasons.append(f"other training (lr {train['lr']}, not {rate})")
    other = ", ".join(_other_options(name, options))
    return reasons + ([f"other settings ({other})"] if other else [])


def _other_options(name: str, options: Mapping[str, object]) -> Iterator[str]:
    """Yield which options of a method are not as published; below 1 a size is a share of the model's width."""
    for key, stated in OPTIONS.get(name, {}).items():
        value = options.get(key, stated)
        if value != stated:
            yield f"{key} {value}{' of the width' if isinstance(value, float) and value < 1 else ''}, not {stated}"


def _told(
    shape: Shape,
    sources: Sequence[_Source],
    rows: list[Row],
    columns: Sequence[Column],
    against: bool,
    gaps: Sequence[str],
) -> tuple[list[Row], tuple[str, ...]]:
    """Return the rows, their verdicts marked, and what stands under them; ``gaps`` say what is not there."""
    lines = [_reading(shape), *gaps]
    behind = {f"{study.experiment} on {study.model}" for source in sources for study in source.behind}
    if behind:
        shown = {study.experiment for source in sources for study in source.studies.values()}
        lines.append(f"Of {', '.join(sorted(shown))}; not shown: {', '.join(sorted(behind))}.")
    if any(part.metrics == ("accuracy",) for part in shape.parts):
        lines.append(
            "The paper does not say what its accuracy is, nor does its code: here all answer tokens are right."
        )
    if against:
        rows, reasons = marked(rows)
        lines += [*verdicts(rows, reasons), *ranks(rows, columns, by_section=shape.id not in SEQUENTIAL.values())]
    used = list({id(study): study for source in sources for study in source.studies.values()}.values())
    return rows, (*lines, *foot.foot(used, PROTOCOL, {*QA, "accuracy"}))


_READING = {
    "exp1": "EXP1: each task trained alone and scored on its own test rows.",
    "exp2": "EXP2: each task trained alone; scores are the probe's. MTL: one run on all tasks.",
    "exp3": "EXP3: tasks one after another; scores are the probe's, those at a task's end after its merge; the paper's "
    f"number beside is the one at the same task's end, step {STEPS}.",
}


def _reading(shape: Shape) -> str:
    how = dict.fromkeys(_READING[part.experiment] for part in shape.parts)
    return f"{' '.join(how)} –: no record. Rows of base and MTL are not in the paper; other methods' are yours."


_COUNTED_OTHERWISE = {
    "dora": "at that width r (h + d) and a magnitude a row are 139,264",
    "cur_lora": "the paper counts U twice",
    "i_lora": "the paper counts the averaged pair as well, which is not trained",
}
"""Where the paper's count is not of what is trained, and what it is of as far as that can be told."""
_BY_WIDTH = ("lora", "dora", "i_lora")
"""The methods whose count grows with a module's width."""
WIDTH = 4096


def _parameters(studies: Sequence[Study], against: bool, notes: Sequence[str]) -> Iterator[Table]:
    """Yield the parameter columns of Tables 6 and 7: what each method trains, here and as published."""
    columns = [
        Column("model", "label"),
        Column("method", "label"),
        Column("per layer", of={"metric": "trained_per_layer"}, digits=0),
        Column("published", of={"metric": "published_per_layer"}, group="per layer,", digits=0),
        Column("trained", of={"metric": "trained"}, digits=0),
        Column("with a gradient", of={"metric": "trained_with_gradient"}, digits=0),
        Column("held", of={"metric": "held"}, digits=0),
    ]
    rows: dict[tuple[str, str], Row] = {}
    for study in studies:
        for arm in study.arms:
            record = arm.runs[0].record
            counts = record.parameters
            found: list[float | None] = [
                counts.get("per_layer"),
                counts.get("published_per_layer"),
                counts.get("trainable"),
                counts.get("effective"),
                counts.get("held"),
            ]
            if not any(found):
                continue
            numbers = [Number(Cell() if value is None else Cell(float(value))) for value in found]
            if against:
                numbers[0] = _count(study, record, numbers[0].cell, found[1])
            of = {"model": study.model, "method": arm.method}
            rows[study.model, arm.method] = Row((study.model, arm.method, *numbers), of, study.model)
    if not rows:
        return
    told = [
        *notes,
        "Per layer: trained, a decoder layer. Trained: given to the optimizer; of these with a gradient; held: beside "
        f"the model. Published ({SOURCE}): to thousands, for two modules of {WIDTH}×{WIDTH}.",
    ]
    shown = list(rows.values())
    if against:  # the published number stands beside the count then
        shown, reasons = marked([replace(row, entries=(*row.entries[:3], *row.entries[4:])) for row in shown])
        columns.pop(3)
        told += verdicts(shown, reasons)
    models = list(dict.fromkeys(row.section for row in shown))
    title = f"Tables 6 and 7 · parameters{f' · {models[0]}' if len(models) == 1 else ''}"
    yield Table("6", title, tuple(columns), tuple(shown), (*told, *foot.foot(studies, None)), {})


def _count(study: Study, record: RunRecord, cell: Cell, published: float | None) -> Number:
    """Return a count of parameters beside the published one, with the reasons why it is another."""
    if published is None:
        return Number(cell, verdict="n/c", reasons=(UNPUBLISHED,))
    name, options, difference = record.method["name"], record.method["options"], cell.value - published
    if round(cell.value, -3) == published:
        return Number(cell, False, published, difference, "same")
    reasons = list(_other_options(name, options))
    reasons += [f"other modules than the paper's two of {WIDTH}×{WIDTH}"] if name in _BY_WIDTH else []
    reasons += [_COUNTED_OTHERWISE[name]] if name in _COUNTED_OTHERWISE else []
    return Number(cell, False, published, difference, "other", tuple(reasons) or ("other settings",))


def _of() -> dict[str, str]:
    return {"protocol": PROTOCOL}
