"""What `ls results` lists: the experiments of a results folder, from records alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from secura_bench.cli.listing import Listing
from secura_bench.foundation.errors import BenchError, RecordError
from secura_bench.foundation.harmless import plain, plain_note
from secura_bench.results.read import find_records, no_folder, read_record
from secura_bench.results.record import RunRecord


def results(folder: Path) -> Listing:
    """List a folder's experiments: models, runs that are done, and the day of the newest.

    Raises:
        BenchError: There is no such folder, or no finished run in it.
    """
    if not folder.is_dir():
        raise no_folder(folder)
    found: dict[tuple[str, str], list[RunRecord]] = {}
    skipped = []
    for path in find_records(folder):
        try:
            record = read_record(path)
        except RecordError as error:
            skipped.append(plain_note(f"skipped: {error}"))
        else:
            found.setdefault((record.experiment, record.model["label"]), []).append(record)
    if not found and not skipped:
        raise BenchError(f"{folder}: no finished run was found there. `secura-bench run SPEC` makes them.")
    rows = [
        (plain(experiment), plain(model), _how_many(runs), plain(max(run.finished_at for run in runs)[:10]))
        for (experiment, model), runs in sorted(found.items())
    ]
    return Listing(("experiment", "model", "runs done", "newest"), rows, skipped)


def _how_many(runs: Sequence[RunRecord]) -> str:
    diverged = sum(run.status == "diverged" for run in runs)
    return f"{len(runs) - diverged}" + (f", and {diverged} diverged" if diverged else "")
