"""`secura-bench run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secura_bench.cli.options import NO_FILES, NONE, Includes, Plugins, Set, hush, include_tasks, load_plugins, say
from secura_bench.cli.plan import plan
from secura_bench.cli.report import tell
from secura_bench.cli.spread import Address, AtATime, ForSbatch, Gpus, GpusPerRun, Jobs, Launcher, Spread, Words
from secura_bench.foundation.errors import BenchError


def run(
    spec: Annotated[str, typer.Argument(help="A YAML spec, or the name of a shipped one, such as smoke.")],
    results: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("results"),
    overrides: Set = NONE,
    plugins: Plugins = NO_FILES,
    includes: Includes = NO_FILES,
    only: Annotated[
        list[str], typer.Option("--only", metavar="RUN", help="Do this run alone, by a unique part of its name.")
    ] = NONE,
    force: Annotated[
        bool, typer.Option("--force", help="Move what is there of the runs aside and do them anew.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; errors and the report alone.")] = False,
    allow_code: Annotated[
        bool,
        typer.Option(
            "--allow-code",
            help="Let evaluate:<id> metrics, lm-eval tasks that are code, and what a model writes be run.",
        ),
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json-lines", help="Events as a JSON object a line on stdout, and no report.")
    ] = False,
    report_to: Annotated[
        list[str], typer.Option("--report-to", metavar="TRACKER", help="tensorboard, wandb, ...; may be repeated.")
    ] = NONE,
    jobs: Jobs = 1,
    gpus: Gpus = "",
    launcher: Launcher = "local",
    gpus_per_run: GpusPerRun = 0,
    at_a_time: AtATime = 8,
    address: Address = "",
    for_sbatch: ForSbatch = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do nothing, and show the plan as `plan` does, or SLURM's script.")
    ] = False,
) -> list[Path]:
    """Do an experiment's missing runs, then print its report.

    Stopped by Ctrl-C or killed, the same command goes on where it was.
    """
    from secura_bench.training.processes import MEETING, check_launch, count, is_main

    check_launch()
    spread = Spread(launcher, jobs, gpus, gpus_per_run, at_a_time, address, for_sbatch or (), count())
    if dry_run and not spread.slurm:
        plan(spec, results, 0, overrides, plugins, includes, allow_code)
        return []
    from secura_bench.spec.load import load_specs

    if spread.elsewhere and force:
        raise BenchError(
            f"--launcher {launcher} takes no --force: a run that is started again would begin anew; move its folder "
            f"aside by hand."
        )
    if spread.slurm and json_lines:
        raise BenchError("--launcher slurm takes no --json-lines: nobody waits for the runs.")
    if quiet and json_lines:
        raise BenchError("--quiet and --json-lines contradict each other; leave one of them out.")
    quiet = quiet or json_lines
    hush(quiet)
    load_plugins(plugins)
    include_tasks(includes)
    loaded = load_specs(spec, overrides)
    if report_to:
        from secura_bench.runs.trackers import check_trackers

        check_trackers(report_to)
    say("reading the model's shapes and the data", quiet)
    from secura_bench.report.formats.terminal import print_tables
    from secura_bench.report.make import make_report
    from secura_bench.report.study.read import read_runs
    from secura_bench.runs.stages import execute_specs
    from secura_bench.runs.stopping import Stopped

    words = Words(spec, results, overrides, plugins, includes, allow_code, report_to)
    show = typer.echo if dry_run else None
    do, specs = spread.prepare(loaded, words, show, lambda text: say(text, quiet))
    if count() > 1 and is_main():
        say(f"waiting for {count()} processes, {MEETING.total_seconds() / 60:g} minutes at most", quiet)
    try:
        outcome, trials, own = execute_specs(
            specs,
            results,
            "machine" if json_lines else "quiet" if quiet else "person",
            only,
            force,
            report_to,
            allow_code,
            lambda text: say(text, quiet or not is_main()),
            do,
        )
    except Stopped as stopped:
        say("stopped; the same command goes on from here", False)
        raise typer.Exit(128 + stopped.signal) from None
    if dry_run:
        return []
    runs = [*trials, *own]
    folders, shown = (
        [results / run.folder for run in some if (results / run.folder).exists()] for some in (runs, own or trials)
    )
    if is_main():
        if outcome.skipped:
            say(f"{len(outcome.skipped)} of {len(runs)} runs were finished before and are left as they are", quiet)
        if json_lines:
            from secura_bench.runs.progress.machine import JsonLines

            JsonLines().event("finished", **vars(outcome))
        else:
            found, problems = read_runs(shown)
            tell(problems)
            if found:
                print_tables(make_report(found).tables)
        for name, reason in outcome.failed.items():
            say(f"failed: {name}: {reason}", False)
        for name, holder in outcome.held.items():
            say(f"not done here: {name}: {holder} does it", False)
    tried = {run.name for run in trials}  # of which some may diverge: that is what they are for
    if outcome.failed or set(outcome.diverged) - tried:
        raise typer.Exit(1)
    if outcome.held:
        raise typer.Exit(3)
    return folders
