"""How a report is drawn: its formats, whatever the names in them, and the command that writes them."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
from conftest import secura_bench
from hand_records import BASE, note, run, three_methods

from secura_bench.foundation.harmless import plain
from secura_bench.foundation.wording import duration
from secura_bench.publications.publication import publication
from secura_bench.report.against.shapes import names_of
from secura_bench.report.formats.document import SCHEMA as REPORT_SCHEMA
from secura_bench.report.formats.text import number
from secura_bench.report.make import FILES, OWN, make_report, render
from secura_bench.report.study.runs import Run
from secura_bench.runs.progress.events import RunActivity
from secura_bench.runs.progress.person import Reporter


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return three_methods(tmp_path)


# How they are drawn


def test_numbers_and_durations() -> None:
    assert number(math.nan, 2) == "–" and number(1.005, 1) == "1.0" and number(-0.04, 1) == "0.0"
    assert number(-2.5, 1) == "−2.5" and number(1e-9, 4) == "<0.0001" and number(0.0, 4) == "0.0000"
    assert [duration(s) for s in (4.4, 185, 7800)] == ["4 s", "3:05 min", "2:10 h"]


def test_progress_has_time_left(monkeypatch) -> None:
    import io

    clock = iter(range(0, 10_000, 15))
    monkeypatch.setattr("secura_bench.runs.progress.person.time.monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    with Reporter(100, 2, stream) as reporter:
        reporter.start_run("one-0", "one", 50)
        reporter.advance(25, RunActivity("step 1/2"))
        reporter.end_run("done", "done")
        reporter.start_run("two-0", "two", 50)
        assert reporter.time_left().endswith("left")
        reporter.end_run("done", "done")
    lines = stream.getvalue().splitlines()
    assert lines[1].startswith("[1/2] one: step 1/2  25 % of all") and "left" in lines[1]
    assert lines[-1] == "[2/2] two: done"


def test_what_an_earlier_process_did_is_a_share_of_all_and_no_pace(monkeypatch) -> None:
    """Half of a run was done before: its next quarter took 15 seconds, and so will the rest."""
    import io

    now = [0.0]
    monkeypatch.setattr("secura_bench.runs.progress.person.time.monotonic", lambda: now[0])
    with Reporter(100, 1, stream := io.StringIO()) as reporter:
        reporter.start_run("one-0", "one", 100, done=50)
        now[0] = 15.0
        reporter.advance(25, RunActivity("step 3/4"))
    first, second = stream.getvalue().splitlines()
    assert first == "[1/1] one: going on where it stopped  50 % of all"
    assert second == "[1/1] one: step 3/4  75 % of all  15 s left"


def test_a_narrow_terminal_loses_columns_and_no_digits(monkeypatch, capsys) -> None:
    from rich.console import Console

    from secura_bench.report.formats import terminal

    tables = make_report([Run(one) for one in (BASE, run(1), run(2, shift=4))], ["retention", "matrix"]).tables
    for width in (50, 80, 100, 140):
        monkeypatch.setattr("rich.console.Console", lambda width=width: Console(width=width, force_terminal=True))
        terminal.print_tables(tables)
        out = capsys.readouterr().out
        assert "…" not in out, f"{width} columns"
        assert "81.0" in out and "52.5" in out, "what was learned, and what was kept, are always there"
        assert (f"Left out in {width} columns: " in out) == (width <= 100)
        lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
        assert max(map(len, lines)) <= width


def test_wide_tables_are_dealt_to_several_grids() -> None:
    from secura_bench.report.formats.terminal import chunks
    from secura_bench.report.tables.table import Column

    columns = [Column("method", "label"), *(Column(f"task{i}") for i in range(16))]
    lines = [["secura", *["10.0 [9.0, 11.0]"] * 16]]
    parts = chunks(columns, lines, range(17), 80)
    assert [i for part in parts for i in part if i] == list(range(1, 17)) and all(part[0] == 0 for part in parts)
    assert all(6 + 3 + (len(part) - 1) * (16 + 3) <= 80 for part in parts)
    assert chunks(columns, lines, range(17), 5) == [[0, i] for i in range(1, 17)]
    grouped = [columns[0], *(Column("score", group=f"on{i // 3}") for i in range(6))]
    assert chunks(grouped, lines, range(7), 9 + 4 * 19) == [[0, 1, 2, 3], [0, 4, 5, 6]], "a group stays together"
    assert chunks(grouped, lines, range(7), 9 + 2 * 19) == [[0, 1, 2], [0, 3, 4], [0, 5, 6]], "if it can"


def test_json_follows_its_schema_and_csv_its_columns(results) -> None:
    from secura_bench.report.formats.tidy import COLUMNS
    from secura_bench.report.study.read import read_runs

    report = make_report(read_runs([results])[0], ["all"], problems=["a sentence"])
    document = json.loads(render(report, "json"))
    schema = json.loads(REPORT_SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    known = {*OWN, *names_of(publication("secura"))}
    assert document["skipped"] == ["a sentence"] and {table["id"] for table in document["tables"]} <= known
    rows = list(csv.DictReader(io.StringIO(render(report, "csv"))))
    assert rows and list(rows[0]) == list(COLUMNS) and all(math.isfinite(float(row["number"])) for row in rows)
    kept = {
        row["statistic"]: float(row["number"])
        for row in rows
        if row["table"] == "retention" and row["method"] == "good" and row["metric"] == "char_bleu:retention"
    }
    assert kept["low"] < kept["value"] < kept["high"]
    assert any(row["table"] == "scores" and row["method"] == "bad" and row["role"] == "probe" for row in rows)


TEXTS = ("markdown", "latex", "csv", "json")  # the page has tests of its own
HOSTILE = (
    "=cmd()|'x'!A1 \x1b]0;owned\x07\x1b[2J \u202egnp.exe \x00 <script>alert(1)</script> $\\input{/etc/passwd}% & _^~# "
    "[a](javascript:b) `c` | \u2066 \u200f \ud800 new\nline" + "A" * 1_000_000
)
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def test_hostile_names_are_text_in_every_format(capsys) -> None:
    from secura_bench.report.formats import terminal

    data = {"q": note(HOSTILE), "t": note(), "u": note()}
    changes = {"data": data, "experiment": HOSTILE, "model": {"label": HOSTILE, "identity": "i"}, "notes": (HOSTILE,)}
    evil = run(1, method={"name": "x", "label": HOSTILE, "options": {}, "train": {}}, **changes)
    report = make_report([Run(evil)], ["all"], problems=[HOSTILE])
    assert len(report.tables) >= 4
    terminal.print_tables(report.tables)
    texts = {"terminal": capsys.readouterr().out} | {format: render(report, format) for format in TEXTS}
    for format, text in texts.items():
        assert not UNSEEN.search(text), format
        text.encode("utf-8")
        if format != "json":
            assert len(text) < 300_000, "a megabyte is cut"
    assert "<script" not in texts["markdown"] and "](javascript" not in texts["markdown"]
    assert "\\input{" not in texts["latex"].split("\n", 1)[1]
    for row in csv.reader(io.StringIO(texts["csv"])):
        assert not any(cell.startswith(("=", "+", "@", "\t")) for cell in row)
        assert not any(cell.startswith("-") and not re.fullmatch(r"-[\d.e-]+", cell) for cell in row)
    assert json.loads(texts["json"])["studies"][0]["experiment"] == HOSTILE, "data is kept as it is, escaped"
    assert plain("a\x1b[0m\u202e") == "a\\x1b[0m\\u202e"


# At the command line


def test_bad_records_are_named_and_skipped(results) -> None:
    whole = json.loads((results / "exp" / "good" / "record.json").read_text())
    bad = {
        "old": {**whole, "schema_version": 0}, "foreign": {"program": "other"}, "short": {**whole, "scores": None},
    }  # fmt: skip
    for name, content in bad.items():
        (results / name).mkdir()
        (results / name / "record.json").write_text(json.dumps(content))
    (results / "torn").mkdir()
    (results / "torn" / "record.json").write_text('{"program": "secura-b')
    done = secura_bench("report", "r", cwd=results.parent)
    assert done.returncode == 1 and "good" in done.stdout
    assert done.stderr.count("skipped: ") == 4 and "schema version 0" in done.stderr
    for name in (*bad, "torn"):
        assert f"{name}/record.json" in done.stderr
    shutil.rmtree(results / "exp")
    assert secura_bench("report", "r", cwd=results.parent).returncode == 1


def test_formats_and_files_at_the_command_line(results) -> None:
    here = results.parent
    for format in FILES:
        done = secura_bench("report", "r", "--format", format, "--table", "retention", cwd=here)
        assert done.returncode == 0 and "good" in done.stdout
    done = secura_bench("report", "r", "--out", "new", cwd=here)
    assert done.returncode == 0 and set(FILES.values()) <= {path.name for path in (here / "new").iterdir()}
    again = secura_bench("report", "r", "--out", "new", cwd=here)
    assert again.returncode == 2 and "is not empty" in again.stderr
    for wrong, said in (
        (["--table", "retntion"], "Did you mean 'retention'"),
        (["--format", "latx"], "Did you mean 'latex'"),
        (["--against", "papers"], "Did you mean 'paper'"),
        (["--table", "11"], "can be made from these records"),
    ):
        done = secura_bench("report", "r", *wrong, cwd=here)
        assert done.returncode == 2 and said in done.stderr


def test_an_empty_folder_is_an_error(tmp_path) -> None:
    assert secura_bench("report", ".", cwd=tmp_path).returncode == 2
