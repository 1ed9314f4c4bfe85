"""Which studies published tables are read from, and which runs are left out of them, by name and with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from secura_bench.publications.publication import Publication
from secura_bench.report.against.reasons import spelled
from secura_bench.report.against.settings import refused, row_of
from secura_bench.report.against.shapes import Part, Shape, shapes_of
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.runs import Role, Run, WhenScored
from secura_bench.report.study.study import Study
from secura_bench.report.tables import footnotes

Left = Mapping[str, str]
"""The runs that are left out, by name, with the reason."""


@dataclass(frozen=True)
class Source:
    """The studies a part is read from, by model; other experiments that stand ``behind`` them; runs ``left`` out."""

    part: Part
    studies: Mapping[str, Study]
    behind: Sequence[Study] = ()
    left: Left = field(default_factory=dict)


@dataclass(frozen=True)
class Sound:
    """Studies without the runs whose settings are none of this version's, and what was left out of each."""

    studies: tuple[Study, ...]
    left: Mapping[Study, Left]


def sound(publication: Publication, studies: Iterable[Study]) -> Sound:
    """Return the studies without the arms that nothing can be said of."""
    kept, left = [], {}
    for study in studies:
        why = {
            arm: refused(publication, arm.runs[0].record) for arm in study.arms
        }  # the runs of an arm share their settings
        whole = study if not any(why.values()) else replace(study, arms=tuple(a for a in study.arms if not why[a]))
        kept.append(whole)
        left[whole] = {called(run): reason for arm, reason in why.items() if reason for run in arm.runs}
    return Sound(tuple(kept), left)


def source_of(found: Sound, part: Part, shape: Shape) -> Source:
    """Return the studies of a part's kind by model, what stands behind them, and what is left out.

    Before all others comes an ablation's own study, where one is asked for; then one that is called as the paper's
    experiment, then the one that fills most of the table; none that is called as another of its experiments.
    """
    odd = {study: _unfit(study, part) for study in found.studies}
    experiments = tuple(shape.publication.file.experiments)
    ours = [
        study
        for study in found.studies
        if part.experiment in study.experiment or not any(name in study.experiment for name in experiments)
    ]
    fitting = [study for study in ours if not odd[study]]

    def order(study: Study) -> tuple[object, ...]:
        name = study.experiment
        named = (name != part.experiment, not name.startswith(part.experiment), part.experiment not in name)
        ablation = len(values_of(study, shape)) > 1 if shape.vary else False
        filled = sum(
            row_of(shape.publication, arm.runs[0].record) in shape.methods
            for arm in study.arms
            if set(arm.sequence) & set(part.tasks)
        )
        return (not ablation, ablation and name.startswith(experiments), *named, -filled, name)

    shown: dict[str, Study] = {}
    for study in sorted(fitting, key=order):
        shown.setdefault(study.model, study)
    own = [study for study in shown.values() if part.experiment in study.experiment]
    if own and not shape.vary:
        shown = {study.model: study for study in own}
    others = [study for study in fitting if study.model in shown and study is not shown[study.model]]
    beside = [study for study in others if study.experiment == shown[study.model].experiment]
    left: dict[str, str] = {}
    for study in (*shown.values(), *beside):
        left |= found.left[study]
    for study in ours:
        if odd[study] and part.experiment in study.experiment:
            left |= {**found.left[study], **_named(study, odd[study])}
    for study in beside:
        left |= _named(study, _other_set(study, shown[study.model]))
    return Source(part, shown, [study for study in others if study not in beside], left)


def _unfit(study: Study, part: Part) -> str:
    """Return why a study cannot be read for a part; empty where it can."""
    if study.mode != part.mode:
        return f"mode {study.mode}, not {part.mode}"
    if not set(part.protocols) & set(study.protocols):
        return f"no {' or '.join(part.protocols)} scores"
    trained = any(set(sequence) & set(part.tasks) for sequence in study.sequences)
    return "" if trained else f"none of the tasks of {part.experiment.upper()}"


def left_out(several: Iterable[Left]) -> list[str]:
    """Return which runs are left out, a line a reason."""
    by_reason: dict[str, dict[str, None]] = {}
    for left in several:
        for name, reason in left.items():
            by_reason.setdefault(reason, {})[name] = None
    return [f"Left out ({reason}): {footnotes.some(list(names))}." for reason, names in by_reason.items()]


def called(run: Run) -> str:
    """Return what a run is called, as its folder is: two of one name differ in their settings."""
    return f"{run.record.name}-{run.record.fingerprint}"


def _named(study: Study, reason: str) -> Left:
    return {called(run): reason for arm in study.arms for run in arm.runs}


def _other_set(study: Study, shown: Study) -> str:
    """Return in what a study's runs cannot be compared with those that are shown of the same name."""
    one, other = study.runs[0].record, shown.runs[0].record
    named = {
        "probe": (one.probe, other.probe),
        "limit": (one.limit, other.limit),
        "precision": (one.precision, other.precision),
        "context": (one.context, other.context),
    }
    said = [f"{name} {spelled(a)}, not {spelled(b)}" for name, (a, b) in named.items() if a != b]
    said += ["another model of that name"] if one.model["identity"] != other.model["identity"] else []
    return ", ".join(said or ["other rows of the probe"])


def values_of(study: Study, shape: Shape) -> set[object]:
    """Return the values of the option that a table varies that a study has runs of its methods with."""
    own = (arm for arm in study.arms if row_of(shape.publication, arm.runs[0].record) in shape.methods)
    return {value for arm in own for value in set_to(arm, shape)}


def set_to(arm: Arm, shape: Shape) -> set[object]:
    """Return what the option that a table varies is set to in an arm."""
    if not shape.vary:
        return set()
    usual = shape.publication.file.varied.get(row_of(shape.publication, arm.runs[0].record), {})
    return {run.record.method["options"].get(shape.vary, usual.get(shape.vary)) for run in arm.runs}


def without(arm: Arm, why: Callable[[Run], str]) -> tuple[Arm, Left]:
    """Return an arm without the runs that there is a reason to leave out, and the reasons; whole if it is all of them.

    Runs are seeds of the same settings: one that differs from the others in its rows, or has no number, is odd.
    """
    if arm.is_base or len(arm.runs) == 1:
        return arm, {}
    found = {run: why(run) for run in arm.runs}
    kept = tuple(run for run, reason in found.items() if not reason)
    if len(kept) in (0, len(arm.runs)):
        return arm, {}
    return replace(arm, runs=kept), {called(run): reason for run, reason in found.items() if reason}


def on_sequence(source: Source, model: str, sequence: tuple[str, ...]) -> Source:
    """Return a source with one model's arms on one sequence alone; the others are left out."""
    study = source.studies[model]
    alone = replace(study, arms=tuple(arm for arm in study.arms if arm.sequence == sequence))
    others = [run for arm in study.arms if arm.sequence != sequence for run in arm.runs]
    left = {called(run): "another sequence of tasks" for run in others if run.record.method["name"] != "mtl"}
    return replace(source, studies={model: alone}, left={**source.left, **left})


def is_anothers(shape: Shape, sequence: tuple[str, ...]) -> bool:
    """Return whether a sequence of tasks is not a table's, but that of another one of its layout."""
    alike = [each for each in shapes_of(shape.publication).values() if each.table.layout == shape.table.layout]
    own, others = (
        {part.tasks for each in alike if (each is shape) == is_own for part in each.parts} for is_own in (True, False)
    )
    return sequence in others - own


def unscored(run: Run, protocol: str, metrics: Sequence[str], role: Role, task: str, at: WhenScored) -> str:
    """Return why a run has none of these scores; empty where it has all."""
    score = run.score(protocol, role, task, at)
    if score is not None and all(score.values.get(metric) is not None for metric in metrics):
        return ""
    return "diverged" if run.record.status == "diverged" else f"no number of {task} for {', '.join(metrics)}"
