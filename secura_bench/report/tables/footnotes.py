"""What must stand under a table for its numbers to mean anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from secura_bench.foundation.version import __version__
from secura_bench.foundation.wording import counted
from secura_bench.report.statistics import ENOUGH, ENOUGH_GROUPS, RESAMPLES
from secura_bench.report.study.protocols import PROTOCOLS, metric
from secura_bench.report.study.study import Study
from secura_bench.report.tables.note import Note, unsaid
from secura_bench.report.tables.precision import precisions
from secura_bench.report.tables.table import ONE_SEED
from secura_bench.report.tables.tied import tied_rows
from secura_bench.report.tables.tuned import tuned_notes
from secura_bench.results.record import RunRecord

INTERVALS = Note(
    f"Intervals are of 95 %: {RESAMPLES} bootstrap resamples of the items, by group, the same for all methods, and of "
    "several seeds Student's t, each task's runs on their own (Welch, Satterthwaite); none below "
    f"{ENOUGH} items or {ENOUGH_GROUPS} groups, or where items are not recorded.",
    "Intervals are of 95 %, over items and, where there are several, seeds.",
    ("[", "±"),
)
FARTHER = Note("±: how far off the interval's farther end is.", marks=("±",))
TIED = Note(
    "*: the best of its column, or not told apart from it on the same items (bootstrap of the maximum over all methods "
    "of several seeds at once, p ≥ 0.05): these are not ranked, nor is a method of one seed.",
    "*: the best of its column, or not told apart from it.",
    ("*",),
)
ITEMS_ONLY = Note(
    f"{ONE_SEED}: one seed; the interval is of the items only, and another seed may lie outside of it. Nothing follows "
    "from it for the method.",
    f"{ONE_SEED}: one seed, interval of the items only: nothing follows for the method.",
    (ONE_SEED,),
)
CONTINUAL = Note(
    "R[i, j]: score on task j after task i of T; b: the base's. Average accuracy ACC = mean of R[T, j]; learning "
    "accuracy LA = mean of R[j, j] (Riemer et al. 2019, arXiv 1810.11910); backward transfer BWT = mean over j < T of "
    "R[T, j] − R[j, j], forward transfer FWT = mean over j > 1 of R[j−1, j] − b[j] (Lopez-Paz and Ranzato 2017, arXiv "
    "1706.08840); forgetting F = mean over j < T of max over j ≤ i < T of R[i, j] − R[T, j] (Chaudhry et al. 2018, "
    "arXiv 1801.10112). Kept = 100 · probe / base's probe (arXiv 2502.18168, section 4.4).",
    "Means over tasks. ACC: at the end; LA: right after training on it; BWT: the end less that; F: the best less the "
    "end; FWT: before training on it, less the base. Kept: the probe at the end, in % of the base's.",
)


def notes(studies: Sequence[Study], protocol: str | None, metrics: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what a reader must know to trust numbers of ``studies`` by a protocol (None: of no protocol's)."""
    records = [run.record for study in studies for run in study.runs]
    lines: list[str] = []
    if protocol is not None:
        shown = list(metrics)
        lines += [
            _protocol(protocol),
            *_tokens(records, protocol),
            *_signatures(records, protocol, shown),
            *_untold(records, protocol, shown),
        ]
    facts = [*_rows(records), *tied_rows(records), *precisions(studies), *_data(records)]
    lines += facts if protocol is not None else map(unsaid, facts)  # they are of scores
    versions = ", ".join(sorted({record.version for record in records}))
    lines += [
        *tuned_notes(studies),
        *_runs(studies, records),
        unsaid(f"Records of secura-bench {versions}; reported by {__version__}."),
    ]
    return tuple(lines)


def marks() -> list[str]:
    """Return what intervals, and the marks beside numbers, mean: each stands where a table has it."""
    return [INTERVALS, FARTHER, TIED, ITEMS_ONLY]


def _protocol(protocol: str) -> str:
    known = PROTOCOLS.get(protocol)
    called = protocol.replace("_", "-")
    if known is None:
        return f"Protocol {called}."
    return Note(f"Protocol {called}: {known.meaning}.", known.warning and f"{called.capitalize()}: {known.warning}.")


def _signatures(records: Sequence[RunRecord], protocol: str, metrics: Sequence[str]) -> list[str]:
    found = {
        f"{metric(name).heading}: {signature}"
        for record in records
        for name, signature in record.signatures.get(protocol, {}).items()
        if name in metrics
    }
    return [unsaid("Metrics. " + "; ".join(sorted(found)) + ".")] if found else []


def _tokens(records: Sequence[RunRecord], protocol: str) -> list[str]:
    """Return over how many tokens each perplexity is, which the number of texts does not say."""
    found: dict[str, dict[int, None]] = {}
    for record in records if protocol == "perplexity" else ():
        scores = [score for score in record.scores if score.protocol == protocol]
        for score in [score for score in scores if score.role != "probe"] or scores:
            if (tokens := score.values.get("tokens")) is not None:
                found.setdefault(score.task, {})[round(tokens)] = None
    told = ", ".join(f"{task} {' or '.join(f'{n:,}' for n in sorted(counts))}" for task, counts in found.items())
    return [Note(f"Tokens that a perplexity is over: {told}.", f"Tokens: {told}.")] if found else []


def untold(records: Iterable[RunRecord], protocol: str) -> dict[tuple[str, str], set[str]]:
    """Return the tasks (or probe) that a metric was asked for and says nothing of, by role and metric."""
    found: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for score in record.scores:
            for name, value in score.values.items():
                if score.protocol == protocol and value is None and metric(name).untold:
                    found.setdefault((score.role, name), set()).add(score.task)
    return found


def _untold(records: Sequence[RunRecord], protocol: str, metrics: Sequence[str]) -> list[str]:
    """Return why there are gaps among the ``metrics`` that tables show: of the probe all, of trained tasks few."""
    known = PROTOCOLS.get(protocol)
    shown = {"probe": metrics, "task": [m for m in metrics if known is None or m in known.learned]}
    said: dict[str, dict[str, None]] = {}
    for (role, name), tasks in untold(records, protocol).items():
        if name in shown.get(role, ()):
            said.setdefault(metric(name).untold, {}).update(
                {f"{metric(name).heading} of {t}": None for t in sorted(tasks)}
            )
    return [
        Note(
            f"–: no {', '.join(names)}: {why}, so that a perfect answer would score 0. 'tokenize' in a task file names "
            f"another tokenizer.",
            f"–: no {', '.join(names)}: {why}.",
        )
        for why, names in said.items()
    ]


def _rows(records: Sequence[RunRecord]) -> list[str]:
    probes: dict[str, None] = {}
    for record in records:
        known = {part: record.data[part].probe_rows for part in record.probe_parts if part in record.data}
        if known:
            rows = " rows" if any(known.values()) else ""
            probes[
                f"{record.probe} ({' + '.join(f'{part} {n or str()}'.strip() for part, n in known.items())}{rows})"
            ] = None
    lines: list[str] = ["Probe: " + ", ".join(probes) + "."] if probes else []
    limits = sorted({record.limit for record in records if record.limit is not None})
    tested = {name: record.data[name].test_rows for record in records for name in record.tasks if name in record.data}
    if tested:
        alike = len(set(tested.values())) == 1
        each = f"{min(tested.values())} of each" if alike else ", ".join(f"{t} {n}" for t, n in tested.items())
        few = f" Below {ENOUGH} there is no interval, and a row weighs much." if min(tested.values()) < ENOUGH else ""
        limited = " (limited)" if limits else ""
        lines.append(Note(f"Test rows of trained tasks: {each}.{few}", f"Test rows: {each}{limited}.{few}"))
    if limits:
        whole = f"Limited: at most {' or '.join(map(str, limits))} test rows of each trained task were scored."
        lines.append(unsaid(whole) if tested else Note(whole))
    return lines


def _data(records: Sequence[RunRecord]) -> list[str]:
    lines: list[str] = list(_sources(records))
    stand_ins = {f"{name}: {note.stand_in}" for r in records for name, note in r.data.items() if note.stand_in}
    if stand_ins:
        lines.append("Stand-in data. " + "; ".join(sorted(stand_ins)) + ".")
    met = {f"{name} {note.met}" for r in records for name, note in r.data.items() if note.met}
    if met:
        told = ", ".join(sorted(met))
        lines.append(unsaid(f"Rows left out of training for the prompt or group of a test row: {told}."))
    long = {f"{name} {note.too_long}" for r in records for name, note in r.data.items() if note.too_long}
    if long:
        told = ", ".join(sorted(long))
        lines.append(unsaid(f"Rows left out because their prompt is longer than the context: {told}."))
    cut = {f"{name} {note.cut_answers}" for r in records for name, note in r.data.items() if note.cut_answers}
    if cut:
        told = ", ".join(sorted(cut))
        whole = f"Answers cut at the context, in training and in scoring: {told}."
        lines.append(Note(whole, f"Answers cut at the context: {told}."))
    shots: dict[int, set[str]] = {}
    for name, note in (entry for record in records for entry in record.data.items()):
        shots.setdefault(note.fewshot, set()).add(name)
    lines += [
        f"{n} worked example{'s' * (n != 1)} before each prompt, of the training side: {', '.join(sorted(names))}."
        for n, names in sorted(shots.items())
        if n
    ]
    marked = {f"{name} {note.marked}" for r in records for name, note in r.data.items() if note.marked}
    if marked:
        told = ", ".join(sorted(marked))
        lines.append(unsaid(f"Rows that spell special tokens, which are read as text: {told}."))
    lost = {f"{name} {note.respelled}" for r in records for name, note in r.data.items() if note.respelled}
    if lost:
        told = ", ".join(sorted(lost))
        whole = f"Answers that the tokenizer does not give back as they were, compared as it gives them back: {told}."
        lines.append(Note(whole, f"Answers compared as the tokenizer gives them back: {told}."))
    return lines


def _sources(records: Sequence[RunRecord]) -> list[str]:
    """Return where the rows came from, which one table may have of several places."""
    places = {
        "hub": "from the Hub",
        "local": "from files in the Hub's place",
        "file": "from the user's files",
        "lm_eval": "by lm-eval",
    }
    found: dict[str, set[str]] = {}
    for record in records:
        for name, note in record.data.items():
            for source, revision in ((note.source, note.revision), (note.test_source, note.test_revision)):
                kind, _, place = (source or "").partition(":")
                if kind in places:
                    at = f" ({place} at {(revision or '?')[:8]})" if kind == "hub" else f" ({place})" * (kind == "file")
                    at = f" (of {place}, {revision})" if kind == "lm_eval" else at
                    test = ", to test on" if source is note.test_source else ""
                    found.setdefault(kind, set()).add(f"{name}{at}{test}")
    said = [f"{places[kind]} {', '.join(sorted(found[kind]))}" for kind in places if kind in found]
    return [unsaid(f"Rows: {'; '.join(said)}.")] if said else []


def _runs(studies: Sequence[Study], records: Sequence[RunRecord]) -> list[str]:
    lines = []
    if left_out := dict.fromkeys(method for study in studies for method in study.left_out):
        lines.append(f"Left out by --methods: {', '.join(left_out)}; stars and tests are among what is shown.")
    without = [study for study in studies if study.base is None]
    if without:
        lines.append("The base model's record is missing: what was kept cannot be told.")
    diverged = [f"{run.name} ({_where(run)})" for run in records if run.status == "diverged"]
    if diverged:
        lines.append("Diverged: " + ", ".join(sorted(diverged)) + ".")
    said: dict[str, list[str]] = {}
    for record in records:
        for note in record.notes:
            said.setdefault(note, []).append(record.name)
    lines += [f"{some(names)}: {note}" for note, names in said.items()]
    superseded = sum(study.superseded for study in studies)
    if superseded:
        lines.append(unsaid(f"Left aside: {superseded} older records of the same settings and seed."))
    if others := sum(study.other_rows for study in studies):
        lines.append(f"Left aside: {counted(others, 'older record')} on other rows of the tasks than the newest one's.")
    return lines


def _where(record: RunRecord) -> str:
    at = record.diverged_at
    return f"{at['task']} step {at['step']}" if at else "where is not said"


def some(names: Sequence[str], shown: int = 3) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
