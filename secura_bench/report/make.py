"""A whole report: the tables that were asked for, of all the records that there are, in any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secura_bench.foundation.errors import BenchError, unknown_name
from secura_bench.foundation.files import write_atomically
from secura_bench.publications.publication import Publication, publication
from secura_bench.report.against.needs import needs
from secura_bench.report.against.shapes import names_of
from secura_bench.report.against.sources import left_out, sound
from secura_bench.report.against.tables import published_tables
from secura_bench.report.study.choosing import check_names, shown_alone
from secura_bench.report.study.families import family_of
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run
from secura_bench.report.study.study import Study
from secura_bench.report.tables.general import BY_PROTOCOL, BY_STUDY, GENERAL, general_tables
from secura_bench.report.tables.table import Table

PAPER = "secura"
"""The publication whose tables can be asked for without being set beside this bench's."""
OWN = (*BY_PROTOCOL, *BY_STUDY)
"""The tables that are no publication's."""
FILES = {
    "markdown": "report.md",
    "latex": "report.tex",
    "csv": "report.csv",
    "json": "report.json",
    "html": "page.html",
}
"""The formats that are text, and the files that ``--out`` writes them to."""


_OWN_NEED = "continual and matrix need a sequence of tasks, merges and norms what a run logged."


@dataclass(frozen=True)
class Report:
    """The comparable sets, the tables of them, and a sentence for each record that could not be read."""

    studies: tuple[Study, ...]
    tables: tuple[Table, ...]
    problems: tuple[str, ...] = ()


def make_report(
    runs: Sequence[Run],
    names: Sequence[str] = (),
    against: Publication | None = None,
    problems: Sequence[str] = (),
    methods: Sequence[str] = (),
    reference: str = "",
) -> Report:
    """Return the report of ``runs`` with the named tables: the general ones if none is, or those of a publication.

    ``against`` one, its numbers stand beside; without, ``paper`` and numbers mean the SECURA paper's shapes.

    ``methods`` are shown alone if there are any; the differences are from ``reference`` where one is named, which asks
    for their table, or, of a method in several settings, for that at equal learning.

    Raises:
        BenchError: A name is unknown, or nothing can be made of these records.
    """
    paper = against or publication(PAPER)
    wanted = _wanted(names or (["paper"] if against else ["general"]), paper)
    studies = make_studies(runs)
    if methods:
        studies = shown_alone(studies, methods)
    if reference:
        check_names(studies, [reference], "--reference ")
        curve = any(family_of(study, reference) for study in studies)
        single = not curve or any(reference in study.methods for study in studies)
        wanted = list(dict.fromkeys([*wanted, *["frontier"] * curve, *["differences"] * single]))
    tables = [
        *general_tables(studies, wanted, reference),
        *published_tables(paper, studies, wanted, against is not None),
    ]
    if not tables:
        why = [_OWN_NEED] if set(wanted) & set(OWN) else []
        why += needs(paper, wanted)
        if set(wanted) & set(names_of(paper)):
            why += left_out(sound(paper, studies).left.values())
        raise BenchError(f"none of the tables {', '.join(wanted)} can be made from these records. {' '.join(why)}")
    return Report(tuple(studies), tuple(tables), tuple(problems))


def render(report: Report, format: str) -> str:
    """Return a report as text in one of ``FILES``' formats."""
    if format == "markdown":
        from secura_bench.report.formats.markdown import markdown

        return markdown(report.tables)
    if format == "latex":
        from secura_bench.report.formats.latex import latex

        return latex(report.tables)
    if format == "csv":
        from secura_bench.report.formats.tidy import tidy

        return tidy(report.tables, report.studies)
    if format == "html":
        from secura_bench.report.page import make_page

        return make_page(report.studies, report.tables, report.problems)
    from secura_bench.report.formats.document import document

    return document(report.tables, report.studies, report.problems)


def write(report: Report, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write a report's files into a new or empty folder and return their paths.

    Raises:
        BenchError: There is something in the folder already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BenchError(f"--out {folder}: is not empty; name a new folder, nothing is overwritten.")
    written = {folder / FILES[format]: render(report, format) for format in formats}
    for path, text in written.items():
        write_atomically(path, text)
    return list(written)


def _wanted(names: Sequence[str], paper: Publication) -> list[str]:
    own = names_of(paper)
    groups = {"general": GENERAL, "paper": own, "all": (*OWN, *own)}
    wanted: dict[str, None] = {}
    for name in names:
        if name not in groups["all"] and name not in groups:
            raise BenchError(f"--table {name}: {unknown_name('table', name, [*groups['all'], *groups])}")
        wanted |= dict.fromkeys(groups.get(name, (name,)))
    return list(wanted)
