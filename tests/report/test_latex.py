"""LaTeX that can be pasted: one float a table, everything escaped, balanced by a small parser and, where it is, TeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hand_records import BASE, run
from synthetic import write_records
from test_report import HOSTILE

from secura_bench.publications.publication import publication
from secura_bench.report.formats.latex import _SPECIAL, escape, latex
from secura_bench.report.make import make_report, render
from secura_bench.report.statistics import Interval
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.runs import Run
from secura_bench.report.tables.footnotes import TIED
from secura_bench.report.tables.table import Column, Number, Row, Table

COMMANDS = {
    "begin", "end", "centering", "scriptsize", "setlength", "tabcolsep", "caption", "label", "resizebox", "ifdim",
    "width", "linewidth", "else", "fi", "toprule", "midrule", "bottomrule", "cmidrule", "multicolumn", "textbf",
    "tiny", "par", "smallskip", "medskip", "raggedright", "clearpage", "textsuperscript", "textbackslash",
    "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar", "textquotedblright", "textquoteleft",
    "texttt", "dots",
}  # fmt: skip
MATHEMATICS = {
    "cdot", "le", "ge", "sigma", "to", "approx", "times", "pm", "rho", "tau", "Sigma", "Delta", "lambda", "dagger",
    "Vert", "langle", "rangle", "surd", "alpha", "beta", "gamma", "mu",
}  # fmt: skip
TOKEN = re.compile(r"\\(?:(begin|end){(\w+)}|([A-Za-z]+)|(.))|([{}$&#%_^~])|%[^\n]*\n", flags=re.DOTALL)


def tokens(text: str) -> Iterator[tuple[str, str, bool]]:
    """Yield what acts in a text, as kind and name and whether it is in mathematics; text that ends unbalanced fails."""
    open_: list[str] = []
    mathematics = False
    for match in TOKEN.finditer(re.sub(r"(?<!\\)%.*", "", text)):
        which, environment, command, escaped, special = match.groups()
        if which == "begin":
            open_.append(environment)
            yield "begin", environment, mathematics
        elif which == "end":
            assert open_.pop() == environment
            yield "end", environment, mathematics
        elif command is not None:
            yield "command", command, mathematics
        elif escaped is not None:
            assert escaped in "\\{}$&#%_,", f"\\{escaped}"
            yield "escaped", escaped, mathematics
        elif special == "{":
            open_.append("{")
        elif special == "}":
            assert open_.pop() == "{", "a brace closes an environment"
        elif special == "$":
            mathematics = not mathematics
        elif special is not None:
            yield "special", special, mathematics
    assert not open_ and not mathematics


def check(text: str) -> None:
    """Fail unless every table is a float of its own with a caption and a label that no other has, and all is text."""
    inside: list[str] = []
    for kind, name, mathematics in tokens(text):
        if kind == "begin":
            inside.append(name)
        elif kind == "end":
            inside.pop()
        elif kind == "command":
            assert name in (MATHEMATICS if mathematics else COMMANDS), name
        elif kind == "special":
            assert (name == "&" and "tabular" in inside) or (name == "^" and mathematics), f"{name} acts"
    tables = re.findall(r"\\begin{table}(.*?)\\end{table}", text, flags=re.DOTALL)
    assert tables
    for table in tables:
        assert table.count(r"\caption{") == table.count(r"\label{tab:") == 1
        assert table.index(r"\caption{") < table.index(r"\label{")
        for columns, body in re.findall(r"\\begin{tabular}{([lr]+)}(.*?)\\end{tabular}", table, flags=re.DOTALL):
            rows = [line for line in body.splitlines() if line.endswith(r" \\")]
            assert rows
            for line in rows:
                more = sum(int(count) - 1 for count in re.findall(r"\\multicolumn{(\d+)}", line))
                assert len(re.findall(r"(?<!\\)&", line)) + more == len(columns) - 1
    labels = re.findall(r"\\label{(.*?)}", text)
    assert len(set(labels)) == len(labels) and all(re.fullmatch(r"tab:[a-z0-9-]+", label) for label in labels)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("r"), tasks=("a", "b"), seeds=(1, 2), probe_items=40)


def test_every_table_is_one_float_that_can_be_referred_to(written: Path) -> None:
    made = make_report(read_runs([written])[0], ["all"])
    text = render(made, "latex")
    check(text)
    assert text.count(r"\begin{table}") == len(made.tables)
    assert r"\label{tab:trial-toy-teacher-forced-retention}" in text


def test_two_tables_of_one_name_have_two_labels() -> None:
    table = Table("x", "x", (Column("method", "label"),), (Row(("a",)),), (), {"experiment": "e_1.5"})
    assert re.findall(r"\\label{(.*?)}", latex([table, table])) == ["tab:e-1-5-x", "tab:e-1-5-x-2"]


def test_hostile_names_and_every_character_are_text() -> None:
    evil = "".join(map(chr, range(32, 127))) + "".join(_SPECIAL) + HOSTILE[:160]
    records = [BASE, run(1), run(2, method={"name": "x", "label": evil, "options": {}, "train": {}}, notes=(evil,))]
    text = render(make_report([Run(one) for one in records], ["all"]), "latex")
    check(text)
    assert "U+4E2D" in escape("中") and escape("é") == "é" and "U+0111" in escape("đ"), "no OT1 font has it"


def test_what_the_reports_say_needs_no_code_points(written: Path) -> None:
    assert "U+" not in render(make_report(read_runs([written])[0], ["all"], against=publication("secura")), "latex")


def test_the_best_are_bold_and_no_reference_is() -> None:
    columns = (Column("method", "label"), Column("acc", digits=1, interval="ends"), Column("R-1", interval="half"))
    sure = Cell(5.0, Interval(4.0, 6.5))
    rows = (
        Row(("base", Number(sure, best=True), Number(sure)), strong=True),
        Row(("mtl", Number(sure), Number(Cell())), strong=True),
        Row(("lora_a", Number(sure, best=True), Number(Cell(7.0, Interval(6.0, 7.5), items_only=True)))),
    )
    text = latex([Table("x", "x", columns, rows, (TIED,))])
    lines = [line for line in text.splitlines() if line.startswith(("base", "mtl", "lora"))]
    assert lines == [
        r"base & 5.0\,{\tiny{[}4.0, 6.5{]}} & 5.00\,{\tiny$\pm$1.50} \\",
        r"mtl & 5.0\,{\tiny{[}4.0, 6.5{]}} & -- \\",
        r"lora\_a & \textbf{5.0}\,{\tiny{[}4.0, 6.5{]}} & 7.00\,{\tiny$\pm$1.00}\textsuperscript{$\dagger$} \\",
    ]
    assert "Bold: the best of its column" in text and r"\textsuperscript{*}" not in text


def test_what_no_page_has_room_for_goes_on_in_another_float() -> None:
    columns = (Column("trained on", "label"), Column("method", "label"), Column("acc"))
    rows = tuple(Row((task, f"m{i}", Number(Cell(1.0))), section=task) for task in "abc" for i in range(25))
    text = latex([Table("x", "x", columns, rows, ("a note",))])
    check(text)
    tables = re.findall(r"\\begin{table}(.*?)\\end{table}", text, flags=re.DOTALL)
    assert [len(re.findall(r" & m\d", table)) for table in tables] == [50, 25], "by sections"
    assert ["(continued)" in table for table in tables] == ["a note" in table for table in tables] == [False, True]
    long = latex([Table("x", "x", columns, tuple(Row(("a", "m1", Number(Cell(1.0)))) for _ in range(200)), ())])
    check(long)
    assert long.count("m1 &") == 200, "no row is lost"
    wide = (columns[0], columns[1], *(Column(f"a heading of {i}") for i in range(40)))
    one = latex([Table("x", "x", wide, (Row(("a", "b", *(Number(Cell(float(i))) for i in range(40)))),), ())])
    check(one)
    assert one.count(r"\begin{table}") == 1 < one.count(r"\begin{tabular}")
    assert all(f" {i}.00 " in one for i in range(40)), "no number is lost"


MAIN = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{report.tex}\end{document}"
TEX = {
    "pdflatex": ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "main.tex"],
    "tectonic": ["tectonic", "--only-cached", "--untrusted", "main.tex"],
}


@pytest.mark.skipif(not any(map(shutil.which, TEX)), reason="neither pdflatex nor tectonic is here")
def test_it_compiles(tmp_path: Path, written: Path) -> None:
    evil = "".join(_SPECIAL) + "".join(map(chr, range(0xA0, 0x180))) + HOSTILE[:160].replace("\ud800", "")
    records = [
        BASE,
        *(
            run(seed, method={"name": "x", "label": f"{evil[80 * seed : 80 * seed + 80]}", "options": {}, "train": {}})
            for seed in range(1, 6)
        ),
    ]
    runs = [*map(Run, records), *read_runs([written])[0]]
    (tmp_path / "report.tex").write_text(render(make_report(runs, ["all"]), "latex"))
    (tmp_path / "main.tex").write_text(MAIN)
    command = next(command for name, command in TEX.items() if shutil.which(name))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Float too large" not in done.stdout and (tmp_path / "main.pdf").stat().st_size > 5000
