"""The summary in words, from the numbers alone: who learned, who forgot, by how much, how sure, what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from secura_bench.foundation.wording import counted
from secura_bench.report.comparing.pair import pair_of
from secura_bench.report.comparing.words import equality, gap, listed, value
from secura_bench.report.page.at_equal_learning import at_equal_learning
from secura_bench.report.page.sentence import Sentence
from secura_bench.report.study.placing import Lead, Placing, lead
from secura_bench.report.study.protocols import Metric, Protocol
from secura_bench.report.study.speaking import speaking
from secura_bench.report.study.study import Study


def summary(study: Study, protocol: Protocol, found: Sequence[Placing]) -> list[Sentence]:
    """Return the sentences of one protocol, the answer first.

    They are of the metric that ``found`` is by: the protocol's main one, unless nothing can be said to be kept of that.
    """
    if not found:
        return [Sentence("lead", "Only the untouched model was scored: nothing has been trained yet.")]
    metric, instead = speaking(study, protocol)
    grid = at_equal_learning(study, protocol)
    first = _lead(study, protocol, metric, found)
    if instead:
        base = value(study.probe(study.base, protocol.id, protocol.main.id))
        why = f"Of {_called(protocol.main)} nothing can be said to be kept ({instead}: {base})"
        first = Sentence("lead", f"{why}, so this is by {_called(metric)}. {first.text}")
    if grid:
        first = Sentence("fact", first.text)
    return [*grid, first, *(_about(study, metric, each) for each in found)]


def caveats(study: Study) -> list[Sentence]:
    """Return what a reader must know before believing the numbers: gaps, single seeds, limits, stand-ins."""
    return [*_gaps(study), *_limits(study)]


def averaged(study: Study, placing: Placing | None = None) -> str:
    """Return over what the summary is a mean, or what part of that ``placing`` has; nothing where that is all."""
    whole = len(study.sequences)
    of = "tasks" if study.mode == "separate" else "sequences"
    if placing is None:
        return f"mean of {whole} {of}" if whole > 1 else ""
    return f"{len(placing.arms)} of {whole} {of}" if len(placing.arms) < whole else ""


def _lead(study: Study, protocol: Protocol, metric: Metric, found: Sequence[Placing]) -> Sentence:
    learners = [each for each in found if each.did_learn == "yes"]
    if not learners:
        if all(each.did_learn == "unsure" for each in found):
            text = "Whether anything was learned cannot be told here, so neither can who forgot least."
        else:
            text = "No method was shown to learn the new tasks, so what they kept says nothing about forgetting."
        return Sentence("lead", text)
    by_name = {each.method: each for each in learners}
    if all(each.retention.missing for each in learners):
        why = learners[0].retention.why
        return Sentence("lead", f"{listed(list(by_name))} learned the new tasks; what they kept is unknown: {why}.")
    if len(learners) == 1:
        only = learners[0]
        others = " It is the only method that was shown to learn." if len(found) > 1 else ""
        text = f"{only.method} learned the new tasks and kept {_kept(study, metric, only)}.{others}"
        return Sentence("lead", text)
    learned = lead(study, learners, protocol.id, metric, "learned")
    kept = lead(study, learners, protocol.id, metric, "kept")
    if learned is None or kept is None:
        return Sentence("lead", f"{listed(list(by_name))} learned the new tasks; the probe was not scored for them.")
    text = _who_leads(study, protocol, metric, by_name, learned, kept)
    if all(each.did_forget == "yes" for each in learners):
        best = "" if kept.winner else f": {kept.tied[0]} keeps {value(by_name[kept.tied[0]].retention)}"
        text += f" All that learned forgot{best}."
    return Sentence("lead", text)


def _who_leads(
    study: Study, protocol: Protocol, metric: Metric, by_name: dict[str, Placing], learned: Lead, kept: Lead
) -> str:
    def margin(found: Lead, what: Literal["learned", "kept"]) -> str:
        return f", {_apart(study, protocol, found, what)} than {found.next}"

    scale = " %" if metric.percent else ""
    most = f"learned most, {_called(metric)} {value(by_name[learned.tied[0]].learned, scale)},"
    open_kept = f"Who kept most is open: {_open(study, protocol, kept, 'kept')}"
    if learned.winner and learned.winner == kept.winner:
        best = by_name[learned.winner]
        more = f"{_kept(study, metric, best)}{margin(kept, 'kept')}"
        return f"{best.method} is ahead in both: it {most} and kept most, {more}."
    if learned.winner and kept.winner:
        best = by_name[kept.winner]
        return (
            f"No method is best at both: {learned.winner} {most} but {best.method} kept most, "
            f"{_kept(study, metric, best)}{margin(kept, 'kept')}."
        )
    open_learned = f"Who learned most is open: {_open(study, protocol, learned, 'learned')}"
    if kept.winner:
        best = by_name[kept.winner]
        return f"{best.method} kept most: {_kept(study, metric, best)}{margin(kept, 'kept')}. {open_learned}."
    if learned.winner:
        return f"{learned.winner} {most.removesuffix(',')}{margin(learned, 'learned')}. {open_kept}."
    return f"No winner. {open_kept}. {open_learned}."


def _called(metric: Metric) -> str:
    return metric.id if metric.id == "accuracy" else metric.heading


def _kept(study: Study, metric: Metric, each: Placing) -> str:
    return f"{value(each.retention)} of the base's {_called(metric)} on {study.probe_of()}"


def _apart(study: Study, protocol: Protocol, found: Lead, what: Literal["learned", "kept"]) -> str:
    """Return by how much the first is ahead of the next, in the words that ``compare`` has for the two."""
    pair = pair_of(study, protocol.id, (found.tied[0], found.next)) if found.next else None
    return gap(pair.learned if what == "learned" else pair.kept) if pair else "untested"


def _open(study: Study, protocol: Protocol, found: Lead, what: Literal["learned", "kept"]) -> str:
    """Return why nobody is ahead; of two that are not told apart, how far they are and whether they are equal."""
    if found.unsure:
        return f"{_first_of([found.tied[0], *found.unsure])} cannot be compared on the same items"
    if found.once:
        return f"{_first_of([found.tied[0], *found.once])} are not told apart, for one seed says nothing of another"
    if len(found.tied) == 1:
        return f"{found.tied[0]} stands alone"
    if len(found.tied) == 2 and (pair := pair_of(study, protocol.id, (found.tied[0], found.tied[1]))):
        side = pair.learned if what == "learned" else pair.kept
        return f"{listed(found.tied)} are not told apart, {gap(side)}, {equality(side)}"
    return f"{_first_of(found.tied)} are not told apart (bootstrap of the maximum over all methods at once, p ≥ 0.05)"


def _first_of(names: Sequence[str]) -> str:
    """Return names as a list that can be read: of more than four the first two, and how many others there are."""
    return listed(names) if len(names) <= 4 else f"{names[0]}, {names[1]} and {len(names) - 2} others"


_LEARNED = {
    "yes": "learned",
    "no": "was not shown to learn",
    "worse": "got worse on its own tasks",
    "unsure": "may or may not have learned",
}


def _about(study: Study, metric: Metric, each: Placing) -> Sentence:
    scale = " %" if metric.percent else ""
    score = f"{_called(metric)} {value(each.learned, scale)}"
    learned = f"{each.method} {_LEARNED[each.did_learn]}: {score} on the new tasks"
    if not each.before.missing:
        learned += f", {each.before.value:.1f}{scale} before training"
    if each.retention.missing:
        return Sentence("fact", f"{learned}; what it kept is unknown ({each.retention.why}).")
    forgot = {
        "yes": f"It forgot: it keeps {value(each.retention)} of the base's {study.probe_of()}.",
        "no": f"No loss was shown on {study.probe_of()}: it keeps {value(each.retention)}.",
        "worse": f"It gained on {study.probe_of()}: {value(each.retention)} of the base's.",
        "unsure": f"It keeps {value(each.retention)} of the base's {study.probe_of()}.",
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
        absent = tuple(seed for seed in seeds if seed not in arm.seeds)
        if absent and arm.trained_here:
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
    if study.other_rows:
        said = (
            f"Left aside: {counted(study.other_rows, 'older record')} on other rows of the tasks than the newest one's."
        )
        yield Sentence("missing", said)


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
