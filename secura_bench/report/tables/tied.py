"""How many independent sets the scored rows are: what an interval rests on where rows share a problem or a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secura_bench.foundation.errors import SpecError
from secura_bench.report.tables.note import Note, unsaid
from secura_bench.results.record import RunRecord
from secura_bench.tasks.catalog import load_task


def tied_rows(records: Sequence[RunRecord]) -> list[str]:
    """Return the lines that say which scored rows are drawn together, and of which tasks that is not known."""
    told: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for task, rows, groups in (found for record in records for found in _counts(record)):
        if groups is None and rows and _declares_groups(task):
            unknown[task] = None
        elif groups is not None and groups < rows:
            told[f"{task} {rows} rows in {groups} group{'s' * (groups != 1)}"] = None
    lines: list[str] = []
    if told:
        lines.append(unsaid(f"Rows of one group (a problem, a text, a prompt) are drawn together: {', '.join(told)}."))
    if unknown:
        whole = f"{', '.join(unknown)}: groups are not recorded (older records): items count as independent."
        lines.append(Note(whole, f"{', '.join(unknown)}: groups not recorded, items count as independent."))
    return lines


def _counts(record: RunRecord) -> Iterator[tuple[str, int, int | None]]:
    """Yield each task whose rows were scored, as part of the probe or trained: its name, rows and groups."""
    for part in record.probe_parts:
        if note := record.data.get(part):
            yield part, note.probe_rows, note.probe_groups
    for task in record.tasks:
        if note := record.data.get(task):
            yield task, note.test_rows, note.groups


def _declares_groups(name: str) -> bool:
    """Return whether a task's file says which rows are one group; of a task that is not known here, no."""
    try:
        task = load_task(name)
    except SpecError:
        return False
    sources = [source for of in (task, task.test) if of for source in (of.hub, of.local, of.file)]
    columns = [source.columns for source in sources if source and source.columns]
    return any(each.group is not None or each.messages is not None for each in columns)
