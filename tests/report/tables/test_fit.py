"""Tables in terminals: what goes where there is no room, and what is said of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic import Character, write_records

from secura_bench.report.formats.terminal import chunks, fitted, print_tables, ranges
from secura_bench.report.formats.text import notes_under
from secura_bench.report.make import Report, make_report, render
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.read import read_runs
from secura_bench.report.tables.note import Note, brief
from secura_bench.report.tables.table import Column, Number, Row, Table

Print = Callable[..., str]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A sequence of tasks and methods of longish names, as studies have them."""
    methods = {"secura-public_code": Character(0.9, 0.3), "lora-matched": Character(0.8, 0.1)}
    root = write_records(tmp_path_factory.mktemp("results"), methods, seeds=(1,), protocols=("generate", "choice"))
    return make_report(read_runs([root])[0])


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Print:
    from rich.console import Console

    def of(tables: tuple[Table, ...], width: int, whole: bool = False) -> str:
        monkeypatch.setattr("rich.console.Console", lambda width=width: Console(width=width, force_terminal=True))
        print_tables(tables, whole)
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)

    return of


@pytest.mark.parametrize("width", [80, 100, 120])
def test_what_was_learned_and_what_was_kept_stand_in_one_grid(report: Report, width: int) -> None:
    for table in (table for table in report.tables if table.id in ("retention", "continual")):
        fit = fitted(table, width)
        assert len(chunks(fit.table.columns, fit.lines, fit.kept, width)) == 1
        shown = [fit.table.columns[i] for i in fit.kept]
        learned = [column for column in shown if column.group == "learned" or column.heading == "LA"]
        kept = [column for column in shown if column.group == "kept" or column.heading == "kept %"]
        assert learned and kept and learned[0].interval and kept[0].interval, "each with its interval"


def test_all_columns_that_went_are_named_in_one_line(report: Report, printed: Print) -> None:
    table = next(table for table in report.tables if table.id == "retention")
    every = {i for i, column in enumerate(table.columns) if column.heading not in ("trained on", "method")}
    assert set(fitted(table, 200).kept) >= every and "Left out" not in printed((table,), 200)
    gone = [table.columns[i] for i in every - set(fitted(table, 80).kept)]
    (line,) = re.findall(r"^Left out in 80 columns: .*(?:\n .*)*", printed((table,), 80), flags=re.MULTILINE)
    assert gone and {column.group or column.heading for column in gone} == {
        part.strip(" .\n").split()[0] for part in line.partition(": ")[2].split(";")
    }
    assert all(re.search(rf"\b{re.escape(column.heading)}\b", line) for column in gone)


def test_ends_give_way_to_how_far_the_farther_is_before_a_grid_is_cut_in_two() -> None:
    from secura_bench.report.statistics import Interval

    cell = Number(Cell(50.0, Interval(40.0, 65.0)))
    columns = (Column("method", "label"), *(Column(f"of {i}", digits=1, interval="ends") for i in range(3)))
    table = Table("t", "t", columns, (Row(("mine", cell, cell, cell)),), (), {})
    assert fitted(table, 80).lines == [["mine", *["50.0 [40.0, 65.0]"] * 3]]
    assert fitted(table, 50).lines == [["mine", *["50.0 ±15.0"] * 3]]
    assert fitted(table, 30).lines == fitted(table, 80).lines, "two grids either way: then with their ends"


def test_a_row_goes_whose_numbers_all_went() -> None:
    columns = (Column("method", "label"), Column("acc"), Column("R-1", spare=1))
    rows = (Row(("majority", Number(Cell()), Number(Cell(3.0)))), Row(("diverged", Number(Cell()), Number(Cell()))))
    table = Table("t", "t", columns, rows, (), {})
    assert [row[0] for row in fitted(table, 80).lines] == ["majority", "diverged"]
    assert [row[0] for row in fitted(table, 18).lines] == ["diverged"], "which has none anywhere"


def test_notes_are_short_unless_the_whole_is_asked_for(report: Report, printed: Print) -> None:
    def below(text: str) -> list[str]:
        return re.findall(r"^\d+\. .*(?:\n {3,4}\S.*)*", text, flags=re.MULTILINE)

    short, whole = (below(printed(report.tables, 80, whole)) for whole in (False, True))
    assert 0 < sum(map(len, short)) < 0.5 * sum(map(len, whole))
    assert "--notes" in printed(report.tables, 80) and "--notes" not in printed(report.tables, 80, whole=True)
    for text in (printed(report.tables, 60), printed(report.tables, 60, whole=True)):
        assert max(map(len, text.splitlines())) <= 60
    everything = " ".join(" ".join(whole).split())
    for table in report.tables:
        assert all(" ".join(str(note).split()) in everything for note in notes_under(table))
        assert all(brief(note) for note in table.notes if "Stand-in" in note or "iverged" in note)


def test_a_note_stands_where_its_mark_does() -> None:
    from secura_bench.report.statistics import Interval

    ends = Note("ends", marks=("[",))
    half = Note("half", marks=("±",))
    dagger, star, always = Note("dagger", marks=("†",)), Note("star", "s", ("*",)), "always"
    notes = (ends, half, dagger, star, always)

    def of(cell: Cell, interval: str, best: bool = False) -> list[str]:
        column = Column("x", digits=1, interval=interval)  # type: ignore[arg-type]
        table = Table("t", "t", (Column("[a] ± †*", "label"), column), (Row(("[b]", Number(cell, best))),), notes, {})
        return notes_under(table)

    sure = Cell(50.0, Interval(40.0, 65.0))
    assert of(sure, "") == ["always"], "what a label has is no mark"
    assert of(sure, "ends") == ["ends", "always"] and of(sure, "half") == ["half", "always"]
    once = of(Cell(50.0, Interval(40.0, 65.0), items_only=True), "half", best=True)
    assert once == ["half", "dagger", "star", "always"]
    assert of(Cell(50.0, items_only=True), "ends", best=True) == ["dagger", "star", "always"], "no interval is drawn"
    assert list(map(brief, notes)) == ["ends", "half", "dagger", "s", "always"]


def test_files_have_the_whole_of_the_notes(report: Report) -> None:
    for format in ("markdown", "latex", "json"):
        text = render(report, format)
        assert "Welch, Satterthwaite" in text and "Records of secura" in text, format


def test_ranges() -> None:
    assert ranges([1, 2, 3, 5, 7, 8]) == "1–3, 5, 7, 8" and ranges([4]) == "4"


def test_the_command_line_has_the_whole(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from secura_bench.cli.main import app

    write_records(tmp_path, seeds=(1,))
    short, whole = (CliRunner().invoke(app, ["report", str(tmp_path), *more]).output for more in ([], ["--notes"]))
    assert "Welch" not in short and "Welch" in whole
