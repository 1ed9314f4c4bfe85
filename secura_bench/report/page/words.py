"""The summary in words, from the numbers alone: who learned, who forgot, by how much, how sure, what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from secura_bench.report.metrics import Protocol
from secura_bench.report.standing import Lead, Standing, lead
from secura_bench.report.study import Cell, Study


@dataclass(frozen=True)
class Sentence:
    """One statement: the ``lead`` answers first, a ``fact`` tells of one method, ``warning`` and ``missing`` limit."""

    kind: Literal["lead", "fact", "warning", "missing"]
    text: str


def summary(study: Study, protocol: Protocol, found: Sequence[Standing]) -> list[Sentence]:
    """Return the sentences of one protocol, the answer first."""
    if not found:
        return [Sentence("lead", "Only the untouched model was scored: nothing has been trained yet.")]
    return [_lead(study, protocol, found), *(_about(study, protocol, each) for each in found)]


def caveats(study: Study) -> list[Sentence]:
    """Return what a reader must know before believing the numbers: gaps, single seeds, limits, stand-ins."""
    return [*_gaps(study), *_limits(study)]


def averaged(study: Study, standing: Standing | None = None) -> str:
    """Return over what the summary is a mean, or what part of that ``standing`` has; nothing where that is all."""
    whole = len(study.sequences)
    of = "tasks" if study.mode == "separate" else "sequences"
    if standing is None:
        return f"mean of {whole} {of}" if whole > 1 else ""
    return f"{len(standing.arms)} of {whole} {of}" if len(standing.arms) < whole else ""


def value(cell: Cell, unit: str = " %") -> str:
    """Return a number with its interval, as ``63.1 % (58.0 to 68.2)``."""
    if cell.missing:
        return f"unknown ({cell.why or 'not scored'})"
    if cell.interval is None:
        return f"{cell.value:.1f}{unit} (no interval: {cell.why or 'unknown'})"
    return f"{cell.value:.1f}{unit} ({cell.low:.1f} to {cell.high:.1f})"


def listed(names: Sequence[str]) -> str:
    """Return names as an English list."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _lead(study: Study, protocol: Protocol, found: Sequence[Standing]) -> Sentence:
    learners = [each for each in found if each.did_learn == "yes"]
    if not learners:
        if all(each.did_learn == "unsure" for each in found):
            text = "Whether anything was learned cannot be told here, so neither can who forgot least."
        else:
            text = "No method was shown to learn the new tasks, so what they kept says nothing about forgetting."
        return Sentence("lead", text)
    by_name = {each.method: each for each in learners}
    if len(learners) == 1:
        only = learners[0]
        others = " It is the only method that was shown to learn." if len(found) > 1 else ""
        text = f"{only.method} learned the new tasks and kept {_kept(study, protocol, only)}.{others}"
        return Sentence("lead", text)
    learned = lead(study, learners, protocol.id, protocol.main, "learned")
    kept = lead(study, learners, protocol.id, protocol.main, "kept")
    if learned is None or kept is None:
        return Sentence("lead", f"{listed(list(by_name))} learned the new tasks; the probe was not scored for them.")
    text = _who_leads(study, protocol, by_name, learned, kept)
    if all(each.did_forget == "yes" for each in learners):
        best = "" if kept.winner else f": {kept.tied[0]} keeps {value(by_name[kept.tied[0]].retention)}"
        text += f" All that learned forgot{best}."
    return Sentence("lead", text)


def _who_leads(study: Study, protocol: Protocol, by_name: dict[str, Standing], learned: Lead, kept: Lead) -> str:
    metric = _metric(protocol)
    scale = " %" if protocol.main.percent else ""
    most = f"learned most, {metric} {value(by_name[learned.tied[0]].learned, scale)},"
    if learned.winner and learned.winner == kept.winner:
        best = by_name[learned.winner]
        return f"{best.method} is ahead in both: it {most} and kept most, {_kept(study, protocol, best)}."
    if learned.winner and kept.winner:
        best = by_name[kept.winner]
        return (
            f"No method is best at both: {learned.winner} {most} but {best.method} kept most, "
            f"{_kept(study, protocol, best)}{_margin(kept, metric)}."
        )
    if kept.winner:
        best = by_name[kept.winner]
        return (
            f"{best.method} kept most: {_kept(study, protocol, best)}{_margin(kept, metric)}. "
            f"Who learned most is open: {_open(learned)}."
        )
    if learned.winner:
        ahead = f"{learned.winner} {most.removesuffix(',')}{_margin(learned, metric)}"
        return f"{ahead}. Who kept most is open: {_open(kept)}."
    return f"No winner. Of the methods that learned, who kept most is open: {_open(kept)}; so is who learned most."


def _metric(protocol: Protocol) -> str:
    return protocol.main.id if protocol.main.id == "accuracy" else protocol.main.heading


def _kept(study: Study, protocol: Protocol, each: Standing) -> str:
    return f"{value(each.retention)} of the base's {_metric(protocol)} on {study.probe_name}"


def _margin(found: Lead, metric: str) -> str:
    if found.margin is None or found.next is None:
        return ""
    low, high = found.margin.interval.low, found.margin.interval.high
    return (
        f", {abs(found.margin.difference):.1f} points of {metric} ahead of {found.next} "
        f"({low:.1f} to {high:.1f}, {found.margin.test})"
    )


def _open(found: Lead) -> str:
    if found.unsure:
        return f"{listed([found.tied[0], *found.unsure])} cannot be compared on the same items"
    if found.once:
        return f"{listed([found.tied[0], *found.once])} are not told apart, for one seed says nothing of another"
    if len(found.tied) == 1:
        return f"{found.tied[0]} stands alone"
    return f"{listed(found.tied)} are not told apart by the noise"


_LEARNED = {
    "yes": "learned",
    "no": "was not shown to learn",
    "worse": "got worse on its own tasks",
    "unsure": "may or may not have learned",
}


def _about(study: Study, protocol: Protocol, each: Standing) -> Sentence:
    metric = _metric(protocol)
    scale = " %" if protocol.main.percent else ""
    learned = f"{each.method} {_LEARNED[each.did_learn]}: {metric} {value(each.learned, scale)} on the new tasks"
    if not each.before.missing:
        learned += f", {each.before.value:.1f}{scale} before training"
    if each.retention.missing:
        return Sentence("fact", f"{learned}; what it kept is unknown ({each.retention.why}).")
    forgot = {
        "yes": f"It forgot: it keeps {value(each.retention)} of the base's {study.probe_name}.",
        "no": f"No loss was shown on {study.probe_name}: it keeps {value(each.retention)}.",
        "worse": f"It gained on {study.probe_name}: {value(each.retention)} of the base's.",
        "unsure": f"It keeps {value(each.retention)} of the base's {study.probe_name}.",
    }[each.did_forget]
    if each.did_learn in ("no", "worse") and each.did_forget != "yes":
        return Sentence(
            "warning", f"{learned}. {forgot} A method that does not learn keeps everything: no achievement."
        )
    return Sentence("fact" if each.did_learn == "yes" else "warning", f"{learned}. {forgot}")


def _absent_seeds(study: Study) -> Iterator[Sentence]:
    """Yield a sentence for each set of seeds that some methods lack: one a method would bury the rest."""
    seeds = sorted({seed for arm in study.arms for seed in arm.seeds})
    lacking: dict[tuple[int, ...], dict[str, list[str]]] = {}
    for arm in study.arms:
        if absent := tuple(seed for seed in seeds if seed not in arm.seeds):
            lacking.setdefault(absent, {}).setdefault(arm.method, []).append(arm.trained_on)
    for absent, methods in lacking.items():
        separate = study.mode == "separate"
        who = [f"{method} on {listed(tasks)}" if separate else method for method, tasks in methods.items()]
        yield Sentence("missing", f"{'; '.join(who)}: no run of seed {listed(list(map(str, absent)))}.")


def _gaps(study: Study) -> Iterator[Sentence]:
    if study.base is None:
        yield Sentence("missing", "The untouched model's record is missing: retention and gain cannot be computed.")
    for arm in study.arms:
        if arm.diverged:
            yield Sentence("missing", f"{arm.method}: {arm.diverged} of {len(arm.runs)} runs diverged.")
    yield from _absent_seeds(study)
    for method in study.methods:
        absent_tasks = [
            "+".join(tasks) for tasks in study.sequences if study.arm(method, tasks) is None and method != "mtl"
        ]
        if absent_tasks:
            yield Sentence("missing", f"{method}: no run on {listed(absent_tasks)}.")
    if study.superseded:
        yield Sentence("missing", f"{study.superseded} older records of the same settings and seed are left aside.")


def _limits(study: Study) -> Iterator[Sentence]:
    seeds = {seed for arm in study.arms for seed in arm.seeds}
    if len(seeds) == 1:
        yield Sentence("warning", "One seed: the intervals are over items, and say nothing of another run's luck.")
    if study.limit is not None:
        yield Sentence("warning", f"At most {study.limit} test rows of each trained task were scored.")
    for note in dict.fromkeys(note for run in study.runs for note in run.record.notes):
        yield Sentence("warning", note)
    stand_ins = {task: note.stand_in for run in study.runs for task, note in run.record.data.items() if note.stand_in}
    for task, stand_in in sorted(stand_ins.items()):
        yield Sentence("warning", f"{task} is not the paper's own data: {stand_in}")
