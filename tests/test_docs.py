"""docs/results is what `secura-bench report results/` prints of the records under version control, number for number."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="records are told from runs by version control")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from make_docs import tracked_results
    finally:
        sys.path.pop(0)
    return tracked_results(tmp_path_factory.mktemp("clone"))


@pytest.mark.parametrize(("file", "options"), [("report.md", []), ("against_paper.md", ["--against", "paper"])])
def test_docs_are_the_report_of_the_records(results: Path, file: str, options: list[str]) -> None:
    command = [sys.executable, "-m", "secura_bench", "report", str(results), "--format", "markdown", *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stdout == (ROOT / "docs" / "results" / file).read_text(encoding="utf-8"), "run `make docs`"


def test_records_hold_no_texts(results: Path) -> None:
    """Rows of other people's data and what a model wrote about them stay out of the repository."""
    assert list(results.rglob("record.json"))
    assert not [path for path in results.rglob("*") if "texts" in path.name]
