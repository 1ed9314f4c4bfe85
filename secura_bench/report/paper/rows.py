"""Which studies and arms stand in a paper's table, and in which of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secura_bench.records import RunRecord
from secura_bench.report.paper.settings import DEFAULTS, LEARNING_RATES, STATED, not_its_settings
from secura_bench.report.paper.shapes import PROTOCOL, Part, Shape
from secura_bench.report.study import Arm, Study


@dataclass(frozen=True)
class Source:
    """The studies a part is read from, by model."""

    part: Part
    studies: Mapping[str, Study]
    behind: Sequence[Study] = ()


@dataclass(frozen=True)
class Line:
    """A row's, or in EXP3 a column's, method: label in the studies, published name ("" if there is none), variant.

    ``instead`` is the arm that the paper's row is taken from, where this one is of the same method and is not it.
    """

    label: str
    name: str
    variant: str = ""
    instead: str = ""


def studies_for(studies: Sequence[Study], part: Part, vary: str) -> tuple[dict[str, Study], list[Study]]:
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
        ablation = len(values_of(study, vary)) > 1 if vary else False
        return (not ablation, ablation and name.startswith(tuple(LEARNING_RATES)), *called, name)

    found: dict[str, Study] = {}
    for study in sorted(fitting, key=order):
        found.setdefault(study.model, study)
    called = [study for study in found.values() if part.experiment in study.experiment]
    if called and not vary:
        found = {study.model: study for study in called}
    return found, [study for study in fitting if study.model in found and study is not found[study.model]]


def lines_of(shape: Shape, sources: Sequence[Source], models: Sequence[str]) -> tuple[list[Line], list[str]]:
    """Return a section's lines, and the arms that an ablation leaves out.

    First base and MTL, then the paper's methods, there or not, then whatever else was run.
    """
    arms: dict[str, list[tuple[Arm, Part]]] = {}
    for source in sources:
        for model in models:
            for arm in source.studies[model].arms if model in source.studies else ():
                arms.setdefault(arm.method, []).append((arm, source.part))
    lines = [Line("base", "base"), *(Line(label, "mtl") for label, of in arms.items() if of[0][0].name == "mtl")]
    instead: dict[str, str] = {}
    for name in shape.methods:
        mine = {label: of for label, of in arms.items() if of[0][0].name == name}
        values = {value for of in mine.values() for arm, _ in of for value in _set(arm, shape.vary)}
        for value in (*shape.values, *sorted(values - {*shape.values}, key=str)) if shape.vary else (None,):
            variant = "" if value is None else str(value)
            fit = {label: of for label, of in mine.items() if _varies(of[0][0].runs[0].record, shape.vary, value)}
            chosen = the_papers(fit)
            lines.append(Line(chosen or f"{name} {variant}".strip(), name, variant))
            instead |= {label: chosen for label in (fit if shape.vary else mine) if label != chosen}
    shown = {line.label for line in lines}
    if shape.vary:
        return lines, [label for label in instead if label not in shown]
    return lines + [Line(label, "", "", instead.get(label, "")) for label in arms if label not in shown], []


def the_papers(arms: Mapping[str, Sequence[tuple[Arm, Part]]]) -> str:
    """Return the label of the arm that is the paper's own, or the nearest to it; empty where there is none.

    Nearest: with the fewest reasons why its training or its settings are not the published ones, then with the fewest
    options that the paper does not speak of, then the one that is called as the method.
    """

    def distance(label: str) -> tuple[object, ...]:
        runs = [(run.record, part) for arm, part in arms[label] for run in arm.runs]
        reasons = {reason for record, part in runs for reason in not_its_settings(record, part)}
        options = runs[0][0].method["options"]
        strange = sum(options.get(key, stated) != stated for key, stated in {**DEFAULTS, **STATED}.items())
        return (len(reasons), strange, label != runs[0][0].method["name"], label)

    return min(arms, key=distance, default="")


def values_of(study: Study, vary: str) -> set[object]:
    """Return the values of an option of SECURA's that a study has runs of."""
    return {value for arm in study.arms if arm.name == "secura" for value in _set(arm, vary)}


def _set(arm: Arm, vary: str) -> set[object]:
    """Return what an option is set to in an arm."""
    return {run.record.method["options"].get(vary, DEFAULTS[vary]) for run in arm.runs} if vary else set()


def _varies(record: RunRecord, vary: str, value: object) -> bool:
    """Return whether a run has an ablation's value, or outside of one the published values of what ablations vary."""
    options = record.method["options"]
    if vary:
        others = {key: default for key, default in DEFAULTS.items() if key != vary}
        return options.get(vary, DEFAULTS[vary]) == value and all(
            options.get(key, default) == default for key, default in others.items()
        )
    return record.method["name"] != "secura" or all(options.get(key, v) == v for key, v in DEFAULTS.items())


def not_the_same(shape: Shape, models: Sequence[str]) -> list[str]:
    """Return why an average over ``models`` is not the published one: it lacks some of the paper's models."""
    if not shape.merged or set(models) >= set(shape.models):
        return []
    inside = len([model for model in models if model in shape.models])
    return [
        f"the paper's is an average over {len(shape.models)} models" + (f", this over {inside} of them" * bool(inside))
    ]


def not_this(line: Line) -> list[str]:
    """Return why an arm is not the paper's: another one is."""
    return [f"not the paper's setting: its number stands beside {line.instead}"] if line.instead else []
