"""`secura-bench status` and `export`: what became of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secura_bench.cli.options import NO_FILES, Plugins, load_plugins
from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.harmless import plain, plain_note


def status(
    results: Annotated[Path, typer.Argument(help="A results folder, or an experiment's.")] = Path("results"),
) -> None:
    """Say which runs are done, running (where), failed (why) or missing, and how long it takes."""
    from secura_bench.foundation.wording import duration
    from secura_bench.launch.slurm_queue import queued
    from secura_bench.results.status import read_status, seconds_left

    runs = read_status(results)
    if not runs:
        raise BenchError(f"{results}: no run was planned there. `secura-bench run SPEC` makes one.")
    counts = {state: sum(run.state == state for run in runs) for state in dict.fromkeys(run.state for run in runs)}
    width = max(len(plain(run.name)) for run in runs)
    waiting = queued(results)
    for position, run in enumerate(runs):
        if position == 0 or runs[position - 1].experiment != run.experiment:
            typer.echo(plain(run.experiment))
        queue = waiting.get(f"{run.experiment}/{run.name.rpartition('-')[0]}", "")
        detail = "  ".join(filter(None, (plain_note(run.detail), plain_note(queue))))
        typer.echo(f"  {plain(run.name):<{width}}  {run.state:<8}  {detail}".rstrip())
    left = seconds_left(runs)
    summary = ", ".join(f"{number} {state}" for state, number in counts.items())
    typer.echo(summary + (f"; about {duration(left)} left" if left else ""))


def export(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder to write to.")],
    to: Annotated[str, typer.Option(help="peft (a stock adapter) or merged (a whole model).")] = "peft",
    model: Annotated[str | None, typer.Option(help="Where the base model is, if not where the run had it.")] = None,
    plugins: Plugins = NO_FILES,
) -> None:
    """Write a run's trained adapter or model in a form that PEFT and transformers load."""
    from secura_bench.foundation.errors import unknown_name

    if to not in ("peft", "merged"):
        raise BenchError(f"--to {to}: {unknown_name('form', to, ('peft', 'merged'))}")
    from secura_bench.export.write import export as write

    load_plugins(plugins)
    write(run, to, target, model)  # type: ignore[arg-type]
    typer.echo(f"{target}: written; loads with {'PEFT' if to == 'peft' else 'transformers'} alone")
