"""What several commands take and say, and what each undoes at its end."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from secura_bench.foundation.harmless import plain_lines

Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one key of the spec, as in train.lr=1e-4; may be repeated.",
    ),
]
Plugins = Annotated[
    list[Path], typer.Option("--plugin", metavar="FILE", help="A Python file that defines methods; may be repeated.")
]
Includes = Annotated[
    list[Path],
    typer.Option("--include", metavar="FOLDER", help="A folder with task files of your own; may be repeated."),
]
NONE: list[str] = []
NO_FILES: list[Path] = []
at_end = ExitStack()  # what a command undoes: several may run in one process
Tasks = Annotated[list[str], typer.Argument(metavar="TASK...", help="Tasks or named lists.")]


def load_plugins(plugins: list[Path]) -> None:
    """Register the methods of the user's files."""
    if plugins:
        from secura_bench.methods.plugins import load_plugin

        for plugin in plugins:
            load_plugin(plugin)


def include_tasks(folders: list[Path]) -> None:
    """Make the user's task files known until the command ends."""
    from secura_bench.tasks.catalog import CATALOG

    at_end.callback(CATALOG.reset)
    CATALOG.include(folders)


def hush(quiet: bool) -> None:
    """Let nothing be said of downloads until the command ends, if ``quiet``."""
    from secura_bench.hub.voice import hushed

    at_end.enter_context(hushed(quiet))


def say(text: str, quiet: bool) -> None:
    """Print what is said beside the results; it may hold names and messages that are anybody's."""
    if not quiet:
        typer.echo(plain_lines(text), err=True)
