"""Which arms stand in a published table, and in which of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from secura_bench.publications.publication import Publication
from secura_bench.report.against.reasons import as_its_code, not_its_settings
from secura_bench.report.against.settings import row_of
from secura_bench.report.against.shapes import Part, Shape
from secura_bench.report.against.sources import Source, set_to
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.study import Study
from secura_bench.results.record import RunRecord

Key = tuple[str, str]
"""What an arm is of: its registered name and its label, for a label alone may be another method's."""
BASE: Key = ("base", "base")


@dataclass(frozen=True)
class PaperRow:
    """A row's, or in EXP3 a column's, method.

    Attributes:
        label: what it is called here. name: as the paper has it ("base", "mtl", "" where it has none).
        arms: which arm it is in each study. varied: the options that an ablation sets in it.
        instead: the arm that the paper's row is taken from, where this one is of the same method and is not it.
    """

    label: str
    name: str
    arms: Mapping[Study, Key]
    varied: Mapping[str, object] = field(default_factory=dict)
    instead: str = ""

    @property
    def variant(self) -> str:
        """The value that an ablation sets, empty outside of one."""
        return "".join(map(str, self.varied.values()))

    def arm(self, study: Study, sequence: tuple[str, ...]) -> Arm | None:
        """Return the line's arm on a sequence, of multi-task training any that has its tasks; None if there is none."""
        key = self.arms.get(study)
        if key == BASE:
            return study.base
        mine = [arm for arm in study.arms if key_of(arm) == key]
        alone = (arm for arm in mine if arm.sequence == sequence)
        mixed = (arm for arm in mine if arm.name == "mtl" and set(sequence) <= set(arm.sequence))
        return next(alone, None) or next(mixed, None)


def key_of(arm: Arm) -> Key:
    """Return what an arm is of."""
    return arm.name, arm.method


def lines_of(shape: Shape, sources: Sequence[Source], models: Sequence[str]) -> tuple[list[PaperRow], list[str]]:
    """Return a section's lines, and the arms that an ablation leaves out.

    First base and MTL, then the paper's methods, there or not, then whatever else was run: of a mean over models what
    was run on each.
    """
    parts = {source.studies[m]: source.part for source in sources for m in models if m in source.studies}
    untrained = shape.row_of("base")
    lines = [PaperRow("base", untrained or "base", dict.fromkeys(parts, BASE))]
    lines += [] if shape.row_of("mtl") else _same_label(parts, "mtl")
    instead: dict[tuple[Study, Key], str] = {}
    for name in [name for name in shape.methods if name != untrained]:
        for varied in _variants(shape, name, parts):
            chosen: dict[Study, Key] = {}
            for study, part in parts.items():
                mine = _by_key(arm for arm in study.arms if _is_of(shape, arm, name))
                varies = partial(_varies, shape.publication, varied=varied)
                fit = {key: arms for key, arms in mine.items() if varies(arms[0].runs[0].record)}
                if fit:
                    chosen[study] = the_papers(fit, part, varied)
                    others = fit if varied else mine
                    instead |= {(study, key): chosen[study][1] for key in others if key != chosen[study]}
            labels = {label for _, label in chosen.values()}
            called = " ".join([name, *map(str, varied.values())])
            lines.append(PaperRow(labels.pop() if len(labels) == 1 else called, name, chosen, varied))
    taken = {(study, key) for line in lines for study, key in line.arms.items()}
    if shape.vary:
        return lines, list(dict.fromkeys(key[1] for study, key in instead if (study, key) not in taken))
    rest: dict[Key, dict[Study, Key]] = {}
    for study in parts:
        for key in _by_key(study.arms):
            if (study, key) not in taken:
                rest.setdefault(key, {})[study] = key
    there = {study.model for study in parts}
    for key, arms in rest.items():
        if {study.model for study in arms} == there:
            stands = next((instead[study, key] for study in arms if (study, key) in instead), "")
            lines.append(PaperRow(key[1], "", arms, instead=stands))
    return lines, []


def _same_label(studies: Iterable[Study], name: str) -> list[PaperRow]:
    """Return a line a label of a method that the paper has no number of."""
    found: dict[Key, dict[Study, Key]] = {}
    for study in studies:
        for key in _by_key(arm for arm in study.arms if arm.name == name):
            found.setdefault(key, {})[study] = key
    return [PaperRow(key[1], name, arms) for key, arms in found.items()]


def _by_key(arms: Iterable[Arm]) -> dict[Key, list[Arm]]:
    found: dict[Key, list[Arm]] = {}
    for arm in arms:
        found.setdefault(key_of(arm), []).append(arm)
    return found


def _variants(shape: Shape, name: str, studies: Iterable[Study]) -> list[dict[str, object]]:
    """Return what the rows of a method set: in an ablation a row a value, the paper's first; else nothing, once."""
    if not shape.vary:
        return [{}]
    arms = [arm for study in studies for arm in study.arms if _is_of(shape, arm, name)]
    run = {value for arm in arms for value in set_to(arm, shape)}
    return [{shape.vary: value} for value in (*shape.values, *sorted(run - {*shape.values}, key=str))]


def the_papers(arms: Mapping[Key, Sequence[Arm]], part: Part, varied: Mapping[str, object]) -> Key:
    """Return the arm that is the paper's own, or the nearest to it.

    It is one that there is no reason not to compare, if there is one; of several the one on the most tasks, then with
    the fewest reasons, then with the fewest settings in which the paper's code does otherwise than the paper, then the
    one that is called as the method.
    """

    def distance(key: Key) -> tuple[object, ...]:
        records = [run.record for arm in arms[key] for run in arm.runs]
        reasons = {reason for record in records for reason in not_its_settings(record, part, varied)}
        tasks = sum(any(task in arm.sequence for task in part.tasks) for arm in arms[key])
        return (bool(reasons), -tasks, len(reasons), as_its_code(records[0], part), key[1] != key[0], key)

    return min(arms, key=distance) if len(arms) > 1 else next(iter(arms))


def _is_of(shape: Shape, arm: Arm, name: str) -> bool:
    return row_of(shape.publication, arm.runs[0].record) == name


def _varies(publication: Publication, record: RunRecord, varied: Mapping[str, object]) -> bool:
    """Return whether a run has an ablation's value, or outside of one the published values of what ablations vary."""
    options, usual = record.method["options"], publication.file.varied.get(row_of(publication, record), {})
    return all(options.get(key, usual.get(key)) == value for key, value in {**usual, **varied}.items())


def not_the_same(shape: Shape, models: Sequence[str]) -> list[str]:
    """Return why an average over ``models`` is not the published one: it lacks some of the paper's models."""
    if not shape.merged or set(models) >= set(shape.models):
        return []
    inside = len([model for model in models if model in shape.models])
    return [
        f"the paper's is an average over {len(shape.models)} models" + (f", this over {inside} of them" * bool(inside))
    ]


def not_this(line: PaperRow) -> list[str]:
    """Return why an arm is not the paper's: another one is."""
    return [f"not the paper's setting: its number stands beside {line.instead}"] if line.instead else []
