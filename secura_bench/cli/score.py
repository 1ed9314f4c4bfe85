"""`secura-bench score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secura_bench.cli.options import NO_FILES, NONE, Includes, Set, hush, include_tasks, say
from secura_bench.cli.report import Require, judge
from secura_bench.cli.run import run
from secura_bench.foundation.errors import DataError


def score(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Folders or Hub ids of PEFT adapters or whole models; label=MODEL says what tables call one.",
        ),
    ],
    learned: Annotated[
        list[str],
        typer.Option("--learned", metavar="FILE|TASK", help="What was trained on; may be repeated."),
    ],
    base: Annotated[
        str | None,
        typer.Option(help="The model before training: a preset, Hub id or folder.", show_default="the adapters' own"),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(help="What must not be forgotten: a task, list, file or lm_eval:NAME.", show_default="f_task"),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("results"),
    require: Require = NONE,
    overrides: Set = NONE,
    includes: Includes = NO_FILES,
    force: Annotated[
        bool, typer.Option("--force", help="Move what is there of the runs aside and do them anew.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; errors and the report alone.")] = False,
    allow_code: Annotated[
        bool,
        typer.Option("--allow-code", help="Let evaluate:<id> metrics, which are code, and what a model writes be run."),
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json-lines", help="Events as a JSON object a line on stdout, and no report.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, as `plan` does, and score nothing.")
    ] = False,
) -> None:
    """Say what models trained elsewhere learned and forgot, beside their base.

    secura-bench score out/lora ours=org/ours --base Qwen/Qwen2-1.5B-Instruct --learned rows.jsonl --probe f_task

    It writes a spec and runs it, as `run` does: stopped or killed, the same command goes on where it was.
    """
    from secura_bench.checkpoints.score_spec import base_of, read_models, score_spec, write_score_spec
    from secura_bench.report.gate.requirement import requirements
    from secura_bench.report.study.group import make_studies
    from secura_bench.report.study.read import read_runs
    from secura_bench.tasks.catalog import expand

    required = requirements(require)
    hush(quiet or json_lines)
    include_tasks(includes)
    wanted = read_models(models)
    spec = score_spec(wanted, base or base_of(wanted), learned, probe)
    path = write_score_spec(spec, results)
    say(f"{path}: the spec that is run", quiet or json_lines)
    try:
        done = run(
            spec=str(path),
            results=results,
            overrides=overrides,
            includes=NO_FILES,  # they are known by now
            force=force,
            quiet=quiet,
            allow_code=allow_code,
            json_lines=json_lines,
            dry_run=dry_run,
        )
    except DataError as error:
        if probe is None and any(f"task {part!r}" in str(error) for part in expand(spec["probe"])):
            way = "where --probe names none. It takes a task, a list, or a file, as in --probe rows.jsonl."
            raise DataError(f"{error} {spec['probe']} is the probe {way}") from None
        raise
    if required and done and (status := judge(make_studies(read_runs(done)[0]), required)):
        raise typer.Exit(status)
