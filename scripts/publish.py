"""Copy what a report reads of finished runs into ``results/``, to put it under version control.

``python scripts/publish.py [--texts] FOLDER…`` takes results folders. Left behind are the texts of other people's items
and what a model wrote about them, trained tensors, checkpoints and the resolved spec, which names folders of a machine;
the texts of tasks whose rows this project generates are its own, and go along. ``--texts`` takes along those too whose
licence lets anyone pass them on (Apache-2.0, MIT). Files that are there already stay as they are: a finished record
never changes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from secura_bench.foundation.errors import SpecError
from secura_bench.results.folder import LOG, MANIFEST, RECORD
from secura_bench.tasks.catalog import load_task

TEXTS = ".texts.jsonl"
OPEN = ("Apache-2.0", "MIT")
"""How licences begin that ask of who passes a text on no more than to say whose it is."""
RESULTS = Path(__file__).parent.parent / "results"


def published(run: Path, open_too: bool = False) -> list[Path]:
    """Return what of a finished run is published, relative to its folder; ``open_too``: texts of open licences, too."""
    scores = [path.relative_to(run) for path in sorted((run / "evals").rglob("*.json"))]
    texts = [path.relative_to(run) for path in sorted((run / "evals").rglob(f"*{TEXTS}"))]
    ours = [path for path in texts if is_ours(path.name.removesuffix(TEXTS), open_too)]
    return [Path(name) for name in (RECORD, MANIFEST, LOG) if (run / name).exists()] + scores + ours


def is_ours(task: str, open_too: bool = False) -> bool:
    """Return whether a task's texts may go along: rows that this project made, or (``open_too``) of an open licence."""
    try:
        file = load_task(task)
    except SpecError:  # of a task that is not known nothing is known
        return False
    return file.generated is not None or (open_too and file.licence.startswith(OPEN))


def main(words: list[str]) -> int:
    """Publish the finished runs of folders: ``<experiment>/<run>/`` below each."""
    folders = [word for word in words if word != "--texts"]
    for record in sorted(path for folder in folders for path in Path(folder).glob(f"*/*/{RECORD}")):
        run = record.parent
        target = RESULTS / run.parent.name / run.name
        for name in published(run, "--texts" in words):
            if not (target / name).exists():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(run / name, target / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
