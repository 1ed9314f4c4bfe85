"""Records found and read, good ones apart from bad ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from secura_bench.foundation.errors import RecordError
from secura_bench.report.study.runs import Run
from secura_bench.results.read import find_records, no_folder, read_record


def read_runs(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Return every readable record below ``paths``, each once, and a sentence for each that is not.

    Raises:
        RecordError: A path does not exist.
    """
    runs: dict[Path, Run] = {}
    problems: list[str] = []

    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be read: {error.strerror or error}.")

    for root in paths:
        if not root.exists():
            raise no_folder(root)
        for path in [root] if root.is_file() else find_records(root, unreadable):
            try:
                runs[path.resolve()] = Run(read_record(path), path.parent)
            except RecordError as error:
                problems.append(str(error))
    return list(runs.values()), problems
