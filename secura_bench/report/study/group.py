"""Runs sorted into studies of what can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from secura_bench.report.study.apart import told_apart
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.naming import method_names, settings_of
from secura_bench.report.study.order import ended, in_order
from secura_bench.report.study.runs import Run, trained
from secura_bench.report.study.study import Study
from secura_bench.results.record import RunRecord


def make_studies(runs: Iterable[Run]) -> list[Study]:
    """Return the comparable sets that ``runs`` fall into, of each settings and seed the newest record."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(_group(run.record), []).append(run)
    return told_apart([_study(members) for _, group in sorted(groups.items()) for members in _by_mode(group)])


def _by_mode(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Yield the runs of each mode with the base model's, which trains nothing and belongs to both."""
    bases = [run for run in runs if not trained(run.record)]
    others = [run for run in runs if trained(run.record)]
    modes = sorted({run.record.mode for run in others})
    for mode in modes:
        yield [*bases, *(run for run in others if run.record.mode == mode)]
    if not modes:
        yield bases


def _group(record: RunRecord) -> tuple[str, ...]:
    """Return what records must share to be compared: experiment, model, how the base is scored, the probe's rows."""
    probe = [str(record.data[part].probe_hash) if part in record.data else "" for part in record.probe_parts]
    model = (record.model["label"], record.model["identity"])
    engine = record.engine["name"] if record.engine else ""
    scored = (record.probe, str(record.limit), record.precision, str(record.context), engine)
    return (record.experiment, *model, *scored, *probe)


def _study(runs: Sequence[Run]) -> Study:
    newest, superseded = _newest(runs)
    kept = _on_the_newest_rows(newest)
    bases = [run for run in kept if not trained(run.record)]
    others = sorted((run for run in kept if trained(run.record)), key=ended)
    names = method_names([run.record for run in others])
    members: dict[tuple[str, tuple[str, ...]], list[Run]] = {}
    for run in in_order(others):
        members.setdefault((names[settings_of(run.record)], run.record.tasks), []).append(run)
    arms = [
        Arm(method, arm[0].record.method["name"], tasks, tuple(sorted(arm, key=lambda run: run.record.seed)))
        for (method, tasks), arm in members.items()
    ]
    first = (others or bases)[0].record
    base_tasks = tuple(dict.fromkeys(task for run in bases for task in run.record.tasks))
    return Study(
        experiment=first.experiment,
        model=first.model["label"],
        mode=first.mode,
        probe_name=first.probe,
        limit=first.limit,
        base=Arm("base", "base", base_tasks, tuple(reversed(bases))) if bases else None,
        arms=tuple(arms),
        superseded=superseded,
        other_rows=len(newest) - len(kept),
    )


def _newest(runs: Sequence[Run]) -> tuple[list[Run], int]:
    """Return the newest run of each settings, tasks and seed (of the base model: of each tasks), and how many fell.

    Two of them differ in what is no setting (machine, threads, version) and are no sample of anything together.
    """
    newest: dict[tuple[object, ...], Run] = {}
    for run in sorted(runs, key=ended):
        record = run.record
        settings = (settings_of(record), record.tasks, record.seed) if trained(record) else ("base", record.tasks)
        newest[settings] = run
    return list(newest.values()), len(runs) - len(newest)


def _on_the_newest_rows(runs: Sequence[Run]) -> list[Run]:
    """Return the runs without those whose tasks had other rows than in the newest run of the same settings and tasks.

    Runs on other rows are no seeds of one thing.
    """
    newest = {(settings_of(run.record), run.record.tasks): _rows(run.record) for run in sorted(runs, key=ended)}
    return [run for run in runs if _rows(run.record) == newest[settings_of(run.record), run.record.tasks]]


def _rows(record: RunRecord) -> list[tuple[str, str]]:
    """Return the hashes of the rows that a run's tasks trained and tested on."""
    notes = [record.data[task] for task in record.tasks if task in record.data]
    return [(note.train_hash, note.test_hash) for note in notes]
