"""What each process of a run does that is scored in company, or meets a fault there: started by tests.

Each folder below the one that is named holds a spec, and is named after what happens in it: to the second process.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from conftest import Done, secura_bench

from secura_bench.evaluation.protocols.teacher_forced import TeacherForced
from secura_bench.foundation.errors import DataError


def rank() -> str:
    return os.environ["RANK"]


def fail() -> None:
    raise DataError("a row that only the second process was dealt.")


def run_out() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def be_stopped() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def run(folder: Path, *words: str, at: int = 0, act: Callable[[], None] = lambda: None) -> Done:
    """Give the command; in the second process ``act`` at teacher-forced batch ``at``, from 1."""
    calls, inner = itertools.count(1), TeacherForced.predict

    def predict(self: TeacherForced, asked: Any) -> Iterator[Any]:
        for batch in inner(self, asked):
            if rank() == "1" and next(calls) == at:
                act()
            yield batch

    TeacherForced.predict = predict  # type: ignore[method-assign]
    try:
        return secura_bench("run", "spec.yaml", *words, cwd=folder)
    finally:
        TeacherForced.predict = inner  # type: ignore[method-assign]


def do_divided_runs(root: Path) -> None:
    """Do them one after another, and write how each command ended."""
    ended = {
        "protocols": [run(root / "protocols", "--allow-code")],
        "trained": [run(root / "trained")],
        "failed": [run(root / "failed", "--only", "base", "--only", "tiny-er", at=1, act=fail)],
        "starved": [run(root / "starved", "--only", "base", at=1, act=run_out)],
        "stopped": [],
    }
    while len(ended["stopped"]) < 9 and (not ended["stopped"] or ended["stopped"][-1].returncode):
        ended["stopped"].append(run(root / "stopped", "--only", "base", "--only", "tiny-er", at=3, act=be_stopped))
    said = {name: [vars(done) for done in commands] for name, commands in ended.items()}
    (root / f"ended-{rank()}.json").write_text(json.dumps(said))
