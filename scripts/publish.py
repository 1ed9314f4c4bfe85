"""Copy what a report reads of finished runs into ``results/``, to put it under version control.

``python scripts/publish.py FOLDER…`` takes results folders. Left behind are the texts of other people's items and what
a model wrote about them, trained tensors, checkpoints and the resolved spec, which names folders of a machine; the
texts of tasks whose rows this project generates are its own, and go along. Files that are there already stay as they
are: a finished record never changes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from secura_bench.foundation.errors import SpecError
from secura_bench.results.folder import LOG, MANIFEST, RECORD
from secura_bench.tasks.catalog import load_task

TEXTS = ".texts.jsonl"
RESULTS = Path(__file__).parent.parent / "results"


def published(run: Path) -> list[Path]:
    """Return the files of a finished run's folder that are published, relative to it."""
    scores = [path.relative_to(run) for path in sorted((run / "evals").rglob("*.json"))]
    texts = [path.relative_to(run) for path in sorted((run / "evals").rglob(f"*{TEXTS}"))]
    ours = [path for path in texts if is_ours(path.name.removesuffix(TEXTS))]
    return [Path(name) for name in (RECORD, MANIFEST, LOG) if (run / name).exists()] + scores + ours


def is_ours(task: str) -> bool:
    """Return whether this project made a task's rows itself; of a task that is not known, no."""
    try:
        return load_task(task).generated is not None
    except SpecError:
        return False


def main(folders: list[str]) -> int:
    """Publish the finished runs of ``folders``: ``<experiment>/<run>/`` below each."""
    for record in sorted(path for folder in folders for path in Path(folder).glob(f"*/*/{RECORD}")):
        run = record.parent
        target = RESULTS / run.parent.name / run.name
        for name in published(run):
            if not (target / name).exists():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(run / name, target / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
