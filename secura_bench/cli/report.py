"""Commands that read records alone: what the command line says of results that are there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.harmless import plain_note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from secura_bench.report.gate.requirement import Requirement
    from secura_bench.report.study.runs import Run
    from secura_bench.report.study.study import Study

_NONE: list[str] = []
Require = Annotated[
    list[str],
    typer.Option(
        "--require",
        metavar="CONDITION",
        help="What must hold, as in 'kept >= 95' or 'learned >= base': exit 4 where its interval shows that it does "
        "not, 5 where that cannot be told. May be repeated.",
    ),
]


def report(
    results: Annotated[list[Path], typer.Argument(help="Results folders, run folders or records.")],
    format: Annotated[
        str | None,
        typer.Option(help="terminal, markdown, latex, csv, json or html; with --out all files and pictures if unset."),
    ] = None,
    tables: Annotated[
        list[str],
        typer.Option(
            "--table",
            metavar="NAME",
            help="frontier, retention, continual, matrix, differences, losses, cost, merges, norms; 1 to 4, 6 to 12 in "
            "the paper's shapes; general (the default), paper or all. May be repeated.",
        ),
    ] = _NONE,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Set a publication's numbers beside: one of `ls publications`, or a YAML file."
        ),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Show these methods alone (and the base), by title or label.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="METHOD", help="Table of differences from this method, not from the best.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write files to a new folder.")] = None,
    notes: Annotated[
        bool, typer.Option("--notes", help="In the terminal, all that stands under the tables; files have it anyway.")
    ] = False,
    require: Require = _NONE,
) -> None:
    """Print the tables of finished runs, from their records alone."""
    # NumPy's products are small here: threads would only wait for each other, for longer than the work takes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from secura_bench.foundation.errors import unknown_name
    from secura_bench.publications.publication import publication
    from secura_bench.report.gate.requirement import requirements
    from secura_bench.report.make import FILES, make_report, render, write

    required = requirements(require)
    formats = ("terminal", *FILES)
    if format is not None and format not in formats:
        raise BenchError(f"--format {format}: {unknown_name('format', format, formats)}")
    if out is not None and format == "terminal":
        raise BenchError(f"--format terminal: goes to no file; --out writes {', '.join(FILES)}.")
    beside = publication(against) if against is not None else None
    runs, problems = _read(results)
    alone = [name.strip() for name in methods.split(",")] if methods is not None else []
    made = make_report(runs, tables, beside, problems, alone, reference or "")
    if out is not None:
        for path in write(made, out, [format] if format else list(FILES)):
            typer.echo(f"{path}: written")
        if format is None:
            from secura_bench.report.plots import write_pictures

            pictures = write_pictures(made.studies, out / "pictures")
            typer.echo(f"{out / 'pictures'}: {len(pictures)} files written")
    elif format is None or format == "terminal":
        from secura_bench.report.formats.terminal import print_tables

        print_tables(made.tables, notes)
    else:
        typer.echo(render(made, format), nl=False)
    tell_unfinished(results)
    status = judge(made.studies, required) if required else 0
    if status or problems:
        raise typer.Exit(status or 1)


def judge(studies: Sequence[Study], required: Sequence[Requirement]) -> int:
    """Say of each requirement whether it holds, beside the tables; return the exit status."""
    from secura_bench.report.gate.show import line_of, status_of
    from secura_bench.report.gate.verdict import verdicts

    found = verdicts(studies, required)
    for verdict in found:
        typer.echo(plain_note(line_of(verdict)), err=True)
    return status_of(found)


def compare(
    results: Annotated[Path, typer.Argument(help="A results folder, run folder or record.")],
    one: Annotated[
        str, typer.Argument(metavar="METHOD", help="A method, by title or label; with settings of it, by its name.")
    ],
    other: Annotated[str, typer.Argument(metavar="METHOD", help="Another, or base.")],
    margin: Annotated[
        float,
        typer.Option(
            metavar="POINTS",
            help="Within how much two methods count as equal: points of the metric for what was learned, percent "
            "points of the base's score for what was kept.",
        ),
    ] = 2.0,
    format: Annotated[str, typer.Option(help="terminal or json.")] = "terminal",
) -> None:
    """Say what two methods learned and kept, whether they differ or are equal, and what can be quoted of that.

    Of methods in several settings it is what they keep at equal learning; beside `base`, what one learned and kept.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from secura_bench.foundation.errors import unknown_name
    from secura_bench.report.comparing.beside_base import beside_base
    from secura_bench.report.comparing.curves import compared
    from secura_bench.report.study.group import make_studies

    if format not in ("terminal", "json"):
        raise BenchError(f"--format {format}: {unknown_name('format', format, ('terminal', 'json'))}")
    if not 0 < margin < 100:
        raise BenchError(f"--margin {margin:g}: must be above 0 and below 100.")
    runs, problems = _read([results])
    studies, alone = make_studies(runs), one if other == "base" else other
    of_base = beside_base(studies, alone) if "base" in (one, other) and one != other else []
    curves, pairs = ([], []) if of_base else compared(studies, one, other, margin)
    if format == "json":
        from secura_bench.report.comparing.document import document

        typer.echo(document(pairs, problems, curves, of_base), nl=False)
    elif curves or pairs or of_base:
        from secura_bench.report.comparing.show import print_pairs

        print_pairs([*curves, *pairs, *of_base])
    if not (curves or pairs or of_base):
        note = f"{results}: no experiment there has both {one} and {other} on the same tasks, scored by one protocol"
        typer.echo(plain_note(note), err=True)
    tell_unfinished([results])
    if problems or not (curves or pairs or of_base):
        raise typer.Exit(1)


def _read(paths: list[Path]) -> tuple[list[Run], list[str]]:
    """Return the runs below ``paths``, and tell of those that cannot be read.

    Raises:
        BenchError: There is none.
    """
    from secura_bench.report.study.read import read_runs

    runs, problems = read_runs(paths)
    tell(problems)
    if not runs and problems:
        raise typer.Exit(1)
    if not runs:
        where = ", ".join(map(str, paths))
        raise BenchError(f"{where}: no finished run was found there. `secura-bench run SPEC` makes them.")
    return runs, problems


def tell_unfinished(paths: list[Path]) -> None:
    """Say how many runs were begun and have no result yet, so that no table has them."""
    from secura_bench.foundation.wording import counted
    from secura_bench.results.status import unfinished

    for path in filter(Path.is_dir, paths):
        if states := [run.state for run in unfinished(path)]:
            parts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
            note = f"{path}: {counted(len(states), 'run')} without a result ({parts}); `secura-bench status {path}`"
            typer.echo(plain_note(note), err=True)


def tell(problems: list[str]) -> None:
    """Name the records that were skipped; their paths are anybody's."""
    for problem in problems:
        typer.echo(f"skipped: {plain_note(problem)}", err=True)
