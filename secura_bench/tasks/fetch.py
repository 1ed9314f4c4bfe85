"""A task's rows from the Hub as a file of its own, so that they can be read without a network."""

from __future__ import annotations

from pathlib import Path

from secura_bench.foundation.errors import DataError
from secura_bench.foundation.files import write_atomically
from secura_bench.tasks.catalog import load_task
from secura_bench.tasks.fetched import FetchedLine, Side, fetched_name, fetched_source
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.sources import hub_rows


def fetch(name: str, folder: Path) -> tuple[Path, int | None]:
    """Write a task's Hub rows to ``folder``; return the file, and its number of rows or None where it was there.

    With ``SECURA_BENCH_DATA`` set to ``folder`` they are read from there, and are the very rows of the Hub. A file is
    written whole or not at all, so one that was fetched before is left as it is.

    Raises:
        DataError: The task is not on the Hub, or a file of another making is in the way.
    """
    task = load_task(name)
    tasks: dict[Side, TaskFile] = {"train": task} if task.tested_on is None else {"train": task, "test": task.tested_on}
    hubs = {side: (each, each.hub) for side, each in tasks.items() if each.hub}
    if task.hub is None or len(hubs) < len(tasks):
        raise DataError(f"task {name!r} is not fetched: there is no 'hub' source of its rows.")
    path = folder / (task.local.file if task.local else fetched_name(name))
    if path.exists():
        if path.is_file() and (fetched_source(path) or "").startswith(f"hub:{task.hub.path}"):
            return path, None
        raise DataError(f"{path}: is there already and is not overwritten; name another folder with --to.")
    lines: list[str] = []
    for side, (each, hub) in hubs.items():
        rows, origin = hub_rows(each, hub)
        source = f"{origin.source}@{origin.revision}"
        lines += (FetchedLine.of(row, side, source, origin.licence).text() for row in rows)
    write_atomically(path, "".join(lines))
    return path, len(lines)
