"""Publications of every layout beside runs of this bench, and one that a stranger adds by the docs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, secura_bench
from paper_records import numbers
from published_runs import run_of

from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.files import write_atomically
from secura_bench.plan.fingerprint import resolved_options
from secura_bench.plan.run import planned_runs
from secura_bench.publications.publication import Publication, publication
from secura_bench.report.against.reasons import not_its_settings
from secura_bench.report.against.settings import row_of
from secura_bench.report.against.shapes import shapes_of
from secura_bench.report.against.tables import published_tables
from secura_bench.report.make import make_report
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run
from secura_bench.report.tables.table import Number, Table
from secura_bench.spec.load import load_specs

TASKS = ("tiny_count", "tiny_group")


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """Write the files of the page, and return the YAML's path."""
    page = (ROOT / "docs" / "extend" / "publications.md").read_text(encoding="utf-8")
    for name, text in re.findall(r'^```\w+ title="([\w.]+)"\n(.*?)^```', page, flags=re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / "mine.yaml"


def _mine(train: dict[str, float] | None = None) -> list[Run]:
    lora = {("tiny_count", "tiny_count"): 81.2, ("tiny_group", "tiny_count"): 45.0, ("tiny_group", "tiny_group"): 66.0}
    settings = {"steps": 20, "lr": 1e-3, **(train or {})}
    return [
        run_of("base", {(None, "tiny_count"): 10.0, (None, "tiny_group"): 20.0}, TASKS),
        run_of("lora", lora, TASKS, options={"r": 8}, train=settings),
    ]


def _beside(table: Table) -> Iterator[tuple[str, str, str, Number]]:
    for row in table.rows:
        for column, entry in zip(table.columns, row.entries, strict=True):
            if isinstance(entry, Number):
                yield row.of["method"], row.of["after"], column.of["task"], entry


def test_a_strangers_publication_stands_beside_cell_by_cell(strangers: Path) -> None:
    (table,) = make_report(_mine(), against=publication(str(strangers))).tables
    found = {(method, after, task): entry for method, after, task, entry in _beside(table)}
    assert found["lora", "tiny_count", "tiny_count"].verdict == "same"
    later = found["lora", "tiny_group", "tiny_count"]
    assert (later.published, later.verdict) == (40.5, "one seed") and later.difference == pytest.approx(4.5)
    assert found["lora", "tiny_count", "tiny_group"].cell.missing, "not yet trained"
    assert found["base", "base", "tiny_group"].published is None
    notes = " ".join(table.notes)
    assert "an invented paper, Table 1" in notes and "Published, and not run here: ewc." in notes


@pytest.mark.parametrize("called", ["base", "zero_shot"])
def test_a_published_row_of_the_base_is_the_bases(strangers: Path, called: str) -> None:
    """Whatever it is called there, the untouched model has one row, with the published number in it."""
    text = strangers.read_text(encoding="utf-8")
    for old, new in (
        ("methods:\n", f"methods:\n  {called}: {{method: base, printed: Untrained}}\n"),
        ("sequence: [tiny_count", "mode: separate\n    sequence: [tiny_count"),
        ("layout: matrix", "layout: scores"),
        ("after: trained, ", ""),
        ("mine.csv", "alone.csv"),
        ("shares:", "#"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    strangers.write_text(text, encoding="utf-8")
    (strangers.parent / "alone.csv").write_text("method,scored,accuracy\nUntrained,count,12.0\nLoRA,count,81.2\n")
    runs = [run_of("base", {(None, "tiny_count"): 10.0}, ("tiny_count",), mode="separate")]
    runs += [run_of("lora", {("tiny_count", "tiny_count"): 81.2}, ("tiny_count",), mode="separate")]
    (table,) = make_report(runs, against=publication(str(strangers))).tables
    first = {row.of["method"]: row.entries[2] for row in table.rows}
    assert [row.of["method"] for row in table.rows] == ["base", "lora"]
    assert isinstance(first["base"], Number) and (first["base"].cell.value, first["base"].published) == (10.0, 12.0)
    assert "Rows of MTL are not in the paper" in " ".join(table.notes)


def test_what_does_not_hold_is_the_reason(strangers: Path) -> None:
    (table,) = make_report(_mine({"steps": 60}), against=publication(str(strangers))).tables
    reasons = {e.reason for method, *_, e in _beside(table) if method == "lora" and e.published and not e.cell.missing}
    assert reasons == {"other training (steps 60, not 20)"}


def test_a_strangers_publication_at_the_command_line(strangers: Path) -> None:
    folder = strangers.parent / "results"
    for run in _mine():
        write_atomically(folder / run.record.method["name"] / "record.json", run.record.model_dump_json())
    report = secura_bench(
        "report", str(folder), "--against", str(strangers), "--format", "markdown", cwd=strangers.parent
    )
    assert report.returncode == 0 and "81.20 \\(81.20 same\\)" in report.stdout
    listed = secura_bench("ls", "publications", str(strangers), cwd=strangers.parent).stdout
    told = " ".join(listed.split())
    for rule in ("constant answer, 1", "unchanged by later tasks, 1", "no base row", "one seed", "has an interval"):
        assert rule in told, rule


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("layout: matrix", "layout: matirx", "mine.yaml:19: tables.1.layout: unknown value 'matirx'. Did you mean"),
        ("experiment: two", "experiment: too", "tables.1.parts.0.experiment: unknown experiment 'too'. Did you mean"),
        ("{steps: 20,", "{stepz: 20,", "mine.yaml:15: experiments.two.train: unknown key 'stepz'. Did you mean"),
        ("after: trained", "after: traind", "mine.csv: unknown column 'traind'. Did you mean 'trained'"),
        ("file: mine.csv", "file: mein.csv", "mein.csv: No such file"),
        ("    layout:", "    tolerence: 1\n    layout:", "unknown key 'tolerence'. Did you mean 'tolerance'"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_strangers_file_is_said(strangers: Path, old: str, new: str, said: str) -> None:
    strangers.write_text(strangers.read_text().replace(old, new))
    with pytest.raises(BenchError) as error:
        publication(str(strangers))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Seq,count,count,eighty", "mine.csv:8: accuracy 'eighty' is no number"),
        ("LoRA,count,count,80", "mine.csv:8: a number of tiny, lora, tiny_count, after tiny_count, accuracy"),
        ("LoRA,count", "mine.csv:8: has not as many fields as the heading's 4"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_strangers_numbers_is_said(strangers: Path, line: str, said: str) -> None:
    with (strangers.parent / "mine.csv").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(BenchError, match=re.escape(said)):
        publication(str(strangers))


@pytest.mark.parametrize("name", ["papers", "nowhere.yaml"])
def test_an_unknown_publication_is_said(name: str) -> None:
    with pytest.raises(
        BenchError, match=r"unknown publication 'papers'. Did you mean 'paper'|nowhere.yaml: no such file"
    ):
        publication(name)


# Those that ship


def _tables(name: str, runs: list[Run]) -> dict[str, Table]:
    found: Publication = publication(name)
    return {t.id: t for t in published_tables(found, make_studies(runs), list(found.file.tables), against=True)}


def test_curloras_matrix_has_ranks_and_the_perplexity_beside() -> None:
    tasks = ("mrpc", "sst2", "sentiment140_odd")
    scores = {
        ("mrpc", "mrpc"): 66.0,
        ("sst2", "mrpc"): 66.0,
        ("sst2", "sst2"): 86.0,
        ("sentiment140_odd", "probe"): 5.5,
    }
    of = {"experiment": "curlora", "probe": "wikitext_10000", "protocol": "classify"}
    runs = [
        run_of("base", {(None, "probe"): 5.44}, tasks, **of),
        run_of("cur_lora", scores, tasks, options={"r": 16, "selection": "sampled"}, **of),
    ]
    found = {(m, a, c): e for m, a, c, e in _beside(_tables("curlora", runs)["1"])}
    assert found["base", "base", "wikitext"].published == 5.44
    entry = found["cur_lora r=16", "sst2", "mrpc"]
    assert entry.published == 66.0 and entry.verdict == "n/c" and "another model (tiny)" in entry.reasons
    assert {remark.split(":")[0] for remark in entry.remarks} == {
        "below what one answer to every row of mrpc scores",
        "unchanged in every printed digit by later tasks",
        "rows identical in all 8 numbers",
    }
    notes = " ".join(_tables("curlora", runs)["1"].notes)
    assert "Of the published, " in notes and "CURLoRA, arXiv 2408.14572, Tables 1 and 2" in notes


def test_traces_matrix_and_what_follows_from_it() -> None:
    tasks = publication("trace").file.experiments["trace"].sequence
    scores = {(after, task): 50.0 + i - j for i, after in enumerate(tasks) for j, task in enumerate(tasks) if j <= i}
    runs = [run_of("seq", scores, tasks, experiment="trace", protocol="own_metric", metric="score")]
    tables = _tables("trace", runs)
    assert set(tables) == {"order1", "summary1"}, "of the second order nothing was run"
    cells = [e for *_, e in _beside(tables["order1"]) if not e.cell.missing]
    assert len(cells) == 36 and all(entry.published is not None for entry in cells)
    average, transfer = tables["summary1"].rows[0].entries[1:]
    assert (average.published, transfer.published) == pytest.approx((48.7, -8.3))
    assert average.cell.value == pytest.approx(53.5) and transfer.cell.value == pytest.approx(4.0)


def test_pefts_order_has_a_rank_correlation() -> None:
    learned = {"lora": 40.0, "loha": 30.0, "oft": 45.0, "vera": 20.0, "shira": 44.0, "ln_tuning": 5.0}
    ends = {"lora": 11.0, "loha": 10.2, "oft": 10.9, "vera": 10.1, "shira": 12.0, "ln_tuning": 10.0}
    of = {"experiment": "peft-metamath", "mode": "separate", "probe": "finewiki"}
    runs = [run_of("base", {(None, "probe"): 10.0, (None, "metamath"): 1.0}, ("metamath",), **of)]
    for name, value in learned.items():
        scores = {("metamath", "metamath"): value, ("metamath", "probe"): ends[name]}
        options = {"r": 32, "alpha": 64} if name == "lora" else {"peft_type": name}
        labels = {"fingerprint": name, "name": name}
        runs.append(
            run_of("lora" if name == "lora" else "peft", scores, ("metamath",), options=options, **labels, **of)
        )
    table = _tables("peft", runs)["metamathqa"]
    assert len(table.rows) == 7 and all(len(row.entries) == 3 for row in table.rows)
    lora = next(row for row in table.rows if row.of["method"] == "lora")
    assert lora.entries[2].cell.value == pytest.approx(0.09531, abs=1e-5), "ln 11 − ln 10"
    assert lora.entries[2].published == pytest.approx(0.049956, abs=1e-6)
    (order,) = (note for note in table.notes if note.startswith("Order of the methods"))
    assert "accuracy: 6 methods, τ" in order and "forgetting: 6 methods, τ" in order and "[" in order
    assert all(entry.verdict for entry in numbers(table))


def test_what_stands_for_a_metric_in_short_is_beside_it_and_never_compared() -> None:
    """A small model's order has its rank correlation too; no verdict compares BLEU with an accuracy."""
    learned = {"loha": 60.0, "oft": 61.5, "vera": 60.2, "ln_tuning": 59.9, "miss": 61.0}
    of = {"experiment": "peft-short", "mode": "separate", "probe": "cnndm_text"}
    of |= {"protocol": "teacher_forced", "metric": "char_bleu"}
    runs = [run_of("base", {(None, "probe"): 10.0, (None, "gsm8k"): 59.0}, ("gsm8k",), **of)]
    for name, value in learned.items():
        scores = {("gsm8k", "gsm8k"): value, ("gsm8k", "probe"): 10.0 + (value - 59.0) / 10}
        options = {"peft_type": name}
        runs.append(run_of("peft", scores, ("gsm8k",), options=options, fingerprint=name, name=name, **of))
    table = _tables("peft", runs)["metamathqa"]
    assert [column.heading for column in table.columns] == [
        "method",
        "accuracy (teacher_forced, char_bleu)",
        "forgetting",
    ]
    loha = next(row for row in table.rows if row.entries[1].cell.value == 60.0).entries[1]
    assert loha.published == pytest.approx(39.2722, abs=1e-4)
    assert "another measure stands for it (accuracy (teacher_forced, char_bleu))" in loha.reasons
    assert {entry.verdict for entry in numbers(table) if entry.published is not None} == {"n/c"}
    (order,) = (note for note in table.notes if note.startswith("Order of the methods"))
    assert "accuracy (teacher_forced, char_bleu): 5 methods, τ" in order and "forgetting: 5 methods, τ" in order


@pytest.mark.parametrize(
    ("name", "experiment", "config"),
    [
        ("trace", "trace", "trace_llama2"),
        ("olora", "olora", "olora_llama2"),
        ("olora", "olora-long", "olora_long_llama2"),
        ("peft", "peft", "peft_metamath"),
    ],
)
def test_the_shipped_spec_of_a_publication_has_its_settings(name: str, experiment: str, config: str) -> None:
    """Where a run is not the published one, it is for the model and the rows alone."""
    found = publication(name)
    part = next(p for shape in shapes_of(found).values() for p in shape.parts if p.experiment == experiment)
    (spec,) = load_specs(config)
    rows = set()
    for planned in planned_runs(spec):
        if planned.method.is_base:
            continue
        settings = {"options": resolved_options(planned.method), "train": planned.train.model_dump(mode="json")}
        record = run_of(planned.method.name, {}, planned.tasks, **settings).record
        assert not_its_settings(record, part) == [], planned.name
        rows.add(row_of(found, record))
    assert "" not in rows and len(rows) >= 3
