"""In which precision the numbers of a table were computed, and where that of an arm is not its base's."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.report.study.arms import Arm
from secura_bench.report.study.study import Study
from secura_bench.report.tables.note import Note
from secura_bench.results.record import RunRecord


def precision_of(record: RunRecord) -> str:
    """Return what a run was trained and scored in: its training settings say it, of the base the spec's."""
    return str(record.method["train"].get("precision", record.precision))


def precisions(studies: Sequence[Study]) -> list[str]:
    """Return the lines that name each arm's precision, and the arms that are held against a base of another."""
    described: dict[str, dict[str, None]] = {}
    for study in studies:
        described.setdefault(_described(study), {})[study.experiment] = None
    several = len(described) > 1
    said = "; ".join(f"{text} in {', '.join(names)}" if several else text for text, names in described.items())
    records = [run.record for study in studies for run in study.runs]
    contexts = sorted({record.context for record in records if record.context is not None})
    longest = f"; context {' or '.join(map(str, contexts))} tokens" if contexts else ""
    usual = len(described) == 1 and said == "fp32"
    lines: list[str] = [Note(f"Precision {said}{longest}.", "" if usual else f"Precision {said}.")]
    lines += dict.fromkeys(line for study in studies for line in _other_than_the_base(study))
    if any(precision_of(record) != "fp32" and record.cost.device == "cpu" for record in records):
        whole = "Less than fp32, computed on a CPU: on a CPU of another kind the same runs may score otherwise."
        lines.append(Note(whole, "Less than fp32 on a CPU: another kind of CPU may score otherwise."))
    return lines


def _described(study: Study) -> str:
    """Return a study's precision, or where its arms have several, whose each is."""
    found: dict[str, dict[str, None]] = {}
    for arm in (*filter(None, [study.base]), *study.arms):
        for precision in _of(arm):
            found.setdefault(precision, {})[arm.method] = None
    if len(found) == 1:
        return next(iter(found))
    each = " and ".join(f"{precision} ({', '.join(names)})" for precision, names in found.items())
    return f"{each}, in training and in scoring"


def _other_than_the_base(study: Study) -> list[str]:
    if study.base is None:
        return []
    base = _of(study.base)
    others: dict[str, dict[str, None]] = {}
    for arm in study.arms:
        for precision in _of(arm):
            if [precision] != base:
                others.setdefault(precision, {})[arm.method] = None
    return [
        Note(
            f"Scored in {precision}, the base in {' or '.join(base)}: {', '.join(names)}. What these kept and gained "
            f"is held against that base, and has in it what the precision changes by itself.",
            f"Scored in {precision}, the base in {' or '.join(base)}: {', '.join(names)}; so the precision is part of "
            "what these kept.",
        )
        for precision, names in others.items()
    ]


def _of(arm: Arm) -> list[str]:
    return list(dict.fromkeys(precision_of(run.record) for run in arm.runs))
