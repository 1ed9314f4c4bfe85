"""docs/results is what `secura-bench report results/` prints of the records under version control."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="records are told from runs by version control")


@pytest.fixture(scope="module")
def make_docs() -> ModuleType:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return import_module("make_docs")
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, make_docs: ModuleType) -> Path:
    found: Path = make_docs.tracked_results(tmp_path_factory.mktemp("clone"))
    return found


def test_docs_are_the_reports_of_the_records(results: Path, make_docs: ModuleType) -> None:
    made = make_docs.written(make_docs.make_reports(results))
    shipped = {path.name: path.read_text(encoding="utf-8") for path in make_docs.DOCS.iterdir() if path.is_file()}
    assert made.keys() == shipped.keys()
    for name in made:
        assert made[name] == shipped[name], f"docs/results/{name}: run `make docs`"


def test_the_report_is_what_the_command_prints(results: Path) -> None:
    command = [sys.executable, "-m", "secura_bench", "report", str(results), "--format", "markdown"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stdout == (ROOT / "docs" / "results" / "report.md").read_text(encoding="utf-8")


def test_records_hold_no_texts_but_our_own_and_open_ones(results: Path) -> None:
    """Rows of other people's data and what a model wrote about them stay out of the repository."""
    from secura_bench.tasks.catalog import load_task

    texts = [path for path in results.rglob("*") if "texts" in path.name]
    assert texts and {path.relative_to(results).parts[0] for path in texts} <= {"forgetting", "followed"}
    for name in {path.name.removesuffix(".texts.jsonl") for path in texts}:
        assert load_task(name).licence.startswith(("Apache-2.0", "MIT")), name
        assert load_task(name).generated or f"`{name}`" in (ROOT / "results" / "README.md").read_text(), "whose it is"
    files = [path for path in texts if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000


def test_a_fact_can_be_watched_being_forgotten(results: Path) -> None:
    """The shipped page shows items that the base had right, and what each method says of them later."""
    from secura_bench.report.page.texts import make_texts
    from secura_bench.report.study.group import make_studies
    from secura_bench.report.study.read import read_runs

    texts = make_texts(make_studies(read_runs([results / "forgetting"])[0]))
    (arith,) = (t for t in texts if (t.about["task"], t.about["protocol"]) == ("tiny_arith", "generate"))
    data = json.loads(zlib.decompress(base64.b64decode(arith.blob), wbits=-15))
    assert {arm["method"] for arm in data["arms"]} == {"seq", "lora", "secura"}
    for arm in data["arms"]:
        ends = [changes[-1][3] for changes in arm["answers"]]
        assert any(item[3][2] == 100 and end == 0 for item, end in zip(data["items"], ends, strict=True))


def test_publishing_takes_what_a_report_reads_and_no_texts_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import publish

    run = tmp_path / "from" / "trial" / "tiny-lora-0123456789"
    kept = [
        "record.json",
        "manifest.json",
        "log.jsonl",
        "evals/0000-a-3/choice/a.json",
        "evals/0000-a-3/choice/probe/b.json",
        "evals/0000-a-3/generate/probe/tiny_arith.texts.jsonl",
    ]
    left = [
        "spec.yaml",
        "adapter/trained.safetensors",
        "evals/0000-a-3/choice/a.texts.jsonl",
        "evals/0000-a-3/choice/probe/objcount.texts.jsonl",
        "checkpoint/1/state.json",
    ]
    for name in [*kept, *left]:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    unfinished = tmp_path / "from" / "trial" / "tiny-seq-0123456789" / "log.jsonl"
    unfinished.parent.mkdir()
    unfinished.write_text("{}")
    monkeypatch.setattr(publish, "RESULTS", tmp_path / "to")
    there = tmp_path / "to" / "trial" / run.name / "log.jsonl"
    there.parent.mkdir(parents=True)
    there.write_text("older")
    assert publish.main([str(tmp_path / "from")]) == 0
    copied = {
        str(path.relative_to(there.parent)): path.read_text() for path in there.parent.rglob("*") if path.is_file()
    }
    assert copied == {name: name for name in kept} | {"log.jsonl": "older"}
    assert [path.name for path in (tmp_path / "to" / "trial").iterdir()] == [run.name]


def test_rows_that_pages_quote_are_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import make_docs

    report = (ROOT / "docs" / "results" / "report.md").read_text(encoding="utf-8")
    pages = [page.read_text(encoding="utf-8") for page in make_docs.QUOTING]
    assert sum("<!-- rows: " in page for page in pages) == 3
    assert [make_docs.with_rows(page, report) for page in pages] == pages, "run `make docs`"
    other = "<!-- rows: {title}; {task}; {row}; method, n -->\n<!-- end of rows -->"
    title = report.splitlines()[0].removeprefix("### ")
    for wrong in ({"title": "no table"}, {"task": "no task"}, {"row": "no method"}):
        with pytest.raises(ValueError, match="has no such rows"):
            make_docs.with_rows(other.format(**{"title": title, "task": "objcount", "row": "lora"} | wrong), report)


def test_the_numbers_of_the_statistics_page_are_the_codes() -> None:
    from secura_bench.report.comparing.pair import MARGIN
    from secura_bench.report.statistics import ENOUGH, ENOUGH_GROUPS, LEVEL, RESAMPLES
    from secura_bench.report.study.ranking import ALPHA

    page = " ".join((ROOT / "docs" / "statistics.md").read_text(encoding="utf-8").split())
    assert f"All intervals are {100 * LEVEL:g} %, all tests at {100 * ALPHA:.0f} %, all resamples {RESAMPLES:,}" in page
    assert f"Below {ENOUGH} items, or below {ENOUGH_GROUPS} groups" in page and f"below 2 / {RESAMPLES + 1}" in page
    assert f"The margin is {MARGIN:g} points unless `--margin` says otherwise" in page
