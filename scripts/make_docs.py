"""Write docs/results from the records that this repository carries: report, page and pictures.

``python scripts/make_docs.py``. It is what ``secura-bench report results/`` prints in a fresh clone, as Markdown and as
one page that needs no network (page.html); a test holds the two together. Runs of your own in ``results/`` are left
out: only records under version control count.

What other pages quote is written anew, too: what ``secura-bench compare`` says, between ``<!-- compared: EXPERIMENT
PROTOCOL ONE OTHER -->`` (a task may follow; EXPERIMENT/MODEL where it was made of several) and ``<!-- end of compared
-->``; and rows of docs/results/report.md, between ``<!-- rows: TITLE; TRAINED ON; METHOD, …; COLUMN, … -->`` and ``<!--
end of rows -->``, where TRAINED ON is – in a table that does not name it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from secura_bench.foundation.files import write_atomically
from secura_bench.publications.publication import publication
from secura_bench.report.comparing.at_equal_learning import sentence_of
from secura_bench.report.comparing.curves import compared
from secura_bench.report.comparing.words import sentence
from secura_bench.report.make import Report, make_report, render
from secura_bench.report.plots import write_pictures
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "results"
QUOTING = (ROOT / "README.md", ROOT / "docs" / "index.md", ROOT / "docs" / "findings.md")
_COMPARED = re.compile(
    r"(<!-- compared: (\S+) (\S+) (\S+) (\S+)(?: (\S+))? -->\n).*?(<!-- end of compared -->)", flags=re.DOTALL
)
_ROWS = re.compile(r"(<!-- rows: ([^;]+); ([^;]+); ([^;]+); ([^>]+) -->\n).*?(<!-- end of rows -->)", flags=re.DOTALL)


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
        "against_paper.md": make_report(runs, against=publication("secura")),
        "against_peft.md": make_report(runs, against=publication("peft")),
    }


def written(reports: Mapping[str, Report]) -> dict[str, str]:
    """Return the texts of docs/results by file: the reports, and the page of the first."""
    texts = {name: render(report, "markdown") for name, report in reports.items()}
    return texts | {"page.html": render(reports["report.md"], "html")}


def requoted(page: str, studies: Sequence[Study]) -> str:
    """Return a page with what it quotes of comparisons as ``secura-bench compare`` says it of these studies.

    Raises:
        ValueError: An experiment has no such comparison.
    """

    def quote(match: re.Match[str]) -> str:
        begin, experiment, protocol, one, other, task, end = match.groups()
        name, _, model = experiment.partition("/")
        of = [study for study in studies if study.experiment == name and model in ("", study.model)]
        curves, found = compared(of, one, other)
        if task:
            curves, found = [], [part for pair in found for part in pair.parts if part.tasks == (task,)]
        said = [sentence_of(each) for each in curves if each.protocol.id == protocol]
        said += [sentence(pair) for pair in found if pair.protocol.id == protocol]
        if len(said) != 1:
            raise ValueError(f"{begin.strip()}: there are {len(said)} such comparisons.")
        lines = textwrap.wrap(said[0], 118, break_long_words=False, break_on_hyphens=False)
        return begin + "".join(f"> {line}\n" for line in lines) + end

    return _COMPARED.sub(quote, page)


def with_rows(page: str, report: str) -> str:
    """Return a page with the rows and columns that it quotes of the report's tables, as they stand there.

    Raises:
        ValueError: The report has no such table, row or column.
    """

    def quote(match: re.Match[str]) -> str:
        begin, title, task, methods, columns, end = match.groups()
        _, found, rest = report.partition(f"### {title}\n\n")
        table = [line.strip("| ").split(" | ") for line in rest.partition("\n\n")[0].splitlines()]
        method = table[0].index("method") if found else 0
        rows = {row[method].replace("\\", ""): row for row in table[2:] if task in ("–", row[0])}
        if not found or not rows.keys() >= (wanted := dict.fromkeys(methods.split(", "))).keys():
            raise ValueError(f"{begin.strip()}: docs/results/report.md has no such rows.")
        kept = [table[0].index(column) for column in columns.split(", ")]
        lines = [table[0], table[1], *(rows[method] for method in wanted)]
        return begin + "".join("| " + " | ".join(line[i] for i in kept) + " |\n" for line in lines) + end

    return _ROWS.sub(quote, page)


def main() -> int:
    """Write the folder anew, and what pages quote."""
    with tempfile.TemporaryDirectory() as folder:
        reports = make_reports(tracked_results(Path(folder)))
        shutil.rmtree(DOCS, ignore_errors=True)
        for name, text in written(reports).items():
            write_atomically(DOCS / name, text)
        for page in QUOTING:
            text = requoted(page.read_text(encoding="utf-8"), reports["report.md"].studies)
            page.write_text(with_rows(text, (DOCS / "report.md").read_text(encoding="utf-8")), encoding="utf-8")
        write_pictures(reports["report.md"].studies, DOCS / "pictures", formats=("png",))
    return 0


if __name__ == "__main__":
    sys.exit(main())
