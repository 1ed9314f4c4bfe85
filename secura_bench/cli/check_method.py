"""`secura-bench check-method`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from secura_bench.cli.options import NONE, say


def check_method(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Python file that defines methods.")],
    method: Annotated[str | None, typer.Option(metavar="NAME", help="Check this method of the file alone.")] = None,
    options: Annotated[
        list[str], typer.Option("--option", metavar="KEY=VALUE", help="An option of the method; may be repeated.")
    ] = NONE,
) -> None:
    """Say what holds of a method of your own: it trains, is killed, resumes, stacks, exports. On the tiny model."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before anything asks: only on a CPU are runs the same bit by bit
    from secura_bench.checking.command import check_file

    if not check_file(file, method, options, lambda line: say(line, False), typer.echo):
        raise typer.Exit(1)
