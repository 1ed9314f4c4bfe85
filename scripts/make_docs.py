"""Write docs/results from the records that this repository carries: the report as Markdown, its pictures as PNG.

``python scripts/make_docs.py``. It is what ``secura-bench report results/`` prints in a fresh clone; a test holds the
two together. Runs of your own in ``results/`` are left out: only records under version control count.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from secura_bench.report.collect import read_runs
from secura_bench.report.plots import write_pictures
from secura_bench.report.report import Report, make_report, render
from secura_bench.store import write_atomically

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "results"


def tracked_results(folder: Path) -> Path:
    """Copy the records under version control into ``folder``, laid out as in ``results/``; return where they are."""
    listed = subprocess.run(["git", "ls-files", "-z", "results"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder / "results"


def make_reports(results: Path) -> dict[str, Report]:
    """Return the reports that docs/results holds, by file.

    Raises:
        ValueError: A record cannot be read.
    """
    runs, problems = read_runs([results])
    if problems:
        raise ValueError("; ".join(problems))
    return {
        "report.md": make_report(runs),
        "differences.md": make_report(runs, ["differences"]),
        "norms.md": make_report(runs, ["norms"]),
        "against_paper.md": make_report(runs, against=True),
    }


def main() -> int:
    """Write the folder anew."""
    with tempfile.TemporaryDirectory() as folder:
        reports = make_reports(tracked_results(Path(folder)))
        shutil.rmtree(DOCS, ignore_errors=True)
        for name, report in reports.items():
            write_atomically(DOCS / name, render(report, "markdown"))
        write_pictures(reports["report.md"].studies, DOCS / "pictures", formats=("png",))
    return 0


if __name__ == "__main__":
    sys.exit(main())
