"""What SLURM's queue says of runs that were sent to it, for ``status`` and for not sending them twice."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from secura_bench.foundation.files import to_json, write_atomically
from secura_bench.foundation.regular import read_regular

_LARGEST_NOTE = 1 << 22  # bytes
_PATIENCE = 20.0  # seconds: a controller that does not answer must not hold up ``status``


class JobNote(BaseModel):
    """The file that a command leaves of an array job: its number, and the run of each task, as ``Run.address``."""

    job: str
    runs: tuple[str, ...]


def folder_of(results: Path) -> Path:
    """Return where scripts, notes and output of SLURM jobs are."""
    return results.absolute() / ".slurm"


def note_job(results: Path, job: str, runs: Sequence[str]) -> None:
    """Write down which runs a job does."""
    write_atomically(folder_of(results) / f"{job}.json", to_json({"job": job, "runs": list(runs)}))


def queued(results: Path) -> Mapping[str, str]:
    """Return what the queue says of each run that it has: nothing where there is no SLURM, or it does not answer.

    ``results`` may be an experiment's folder.
    """
    notes: dict[str, JobNote] = {}
    for folder in (folder_of(results), folder_of(results.absolute().parent)):
        for file in sorted(folder.glob("*.json")):
            try:
                note = JobNote.model_validate_json(read_regular(file, _LARGEST_NOTE))
            except (OSError, ValueError):
                continue
            notes[note.job] = note
    if not notes or shutil.which("squeue") is None:
        return {}
    asked = ["squeue", "--noheader", "--array", "--me", "--format=%F|%K|%T|%r"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=_PATIENCE)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = {}
    for line in said.stdout.splitlines():
        job, task, state, reason = (*line.split("|"), "", "", "")[:4]
        runs = notes[job].runs if job in notes else ()
        if task.isdecimal() and int(task) < len(runs):
            why = f", {reason}" if reason not in ("", "None") else ""
            found[runs[int(task)]] = f"SLURM {job}_{task}: {state}{why}"
    return found
