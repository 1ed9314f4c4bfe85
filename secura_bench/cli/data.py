"""`secura-bench data fetch` and `data check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secura_bench.cli.options import NO_FILES, Includes, Tasks, hush, include_tasks, say
from secura_bench.foundation.errors import BenchError, DataError, SpecError


def fetch(
    tasks: Tasks,
    to: Annotated[Path | None, typer.Option("--to", metavar="FOLDER", help="Where <task>.jsonl files go.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress of downloads.")] = False,
    includes: Includes = NO_FILES,
) -> None:
    """Write tasks' rows from the Hub to files, to be read without a network by SECURA_BENCH_DATA=FOLDER.

    A task that fails does not stop the others, and those that are there already are left as they are: the same command
    goes on where it stopped. Those of lm-evaluation-harness (lm_eval:NAME) go to the cache that it reads from.
    """
    from secura_bench.spec.probe import PREFIX
    from secura_bench.tasks.catalog import expand
    from secura_bench.tasks.fetch import fetch as write

    hush(quiet)
    include_tasks(includes)
    theirs = [task for task in tasks if task.startswith(PREFIX)]
    own, failed = expand(tuple(task for task in tasks if task not in theirs)), []
    if own and to is None:
        raise BenchError("data fetch: --to FOLDER says where the rows go.")
    names = (*own, *theirs)
    for task in names:
        try:
            if task in theirs:
                typer.echo(f"{task}: {_warm(task)} documents, in the cache of datasets")
                continue
            path, rows = write(task, to or Path())
        except DataError as error:
            if len(names) == 1:
                raise
            failed.append(task)
            say(f"failed: {error}", False)
            continue
        typer.echo(f"{path}: was there already" if rows is None else f"{path}: {rows} rows")
    if failed:
        raise BenchError(f"not fetched: {', '.join(failed)}; the same command goes on with what is missing.")


def _warm(task: str) -> int:
    """Load a task of the harness, which puts its rows into the cache; return how many it is scored on."""
    from secura_bench.harness.load import load
    from secura_bench.spec.probe import suites_of

    (suite,) = suites_of(task)
    return sum(len(each.eval_docs) for each in load(suite, False).tasks.values())


def check_data(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK...", help="Tasks, named lists or files of rows.")],
    model: Annotated[str, typer.Option(help="Whose tokenizer and chat template: a preset, Hub id or folder.")] = "tiny",
    context: Annotated[int, typer.Option(help="The longest row in tokens.", min=1)] = 600,
    probe: Annotated[str, typer.Option(help="The task or list whose text should not be met.")] = "f_task",
    system: Annotated[str | None, typer.Option(help="As data.system in a spec.")] = None,
    num_fewshot: Annotated[int, typer.Option(help="As data.num_fewshot in a spec.", min=0)] = 0,
    includes: Includes = NO_FILES,
) -> None:
    """Show examples exactly as the model will see them, and what is to be known of a task's rows."""
    from pydantic import ValidationError

    from secura_bench.checking.inspection import inspect
    from secura_bench.data.chat import ChatFormat
    from secura_bench.models.load import find_model, load_tokenizer
    from secura_bench.spec.sections import DataSpec
    from secura_bench.tasks.catalog import CATALOG, expand, find_data_file, is_data_file

    include_tasks(includes)
    names = expand(tuple(CATALOG.add_file(find_data_file(name)) if is_data_file(name) else name for name in tasks))
    found = find_model(model, fetch="tokenizer")
    try:
        settings = DataSpec(context=context, system=system, num_fewshot=num_fewshot)
    except ValidationError as error:
        raise SpecError(f"--system: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from None
    chat = ChatFormat(load_tokenizer(found), settings.system, found.label)
    typer.echo(f"as the model {model} reads them, in at most {context} tokens\n")
    for task in names:
        for line in inspect(task, settings, chat, probe):
            typer.echo(line)
        typer.echo()
