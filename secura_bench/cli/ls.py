"""`secura-bench ls`."""

from __future__ import annotations

from typing import Annotated

import typer

from secura_bench.cli.options import NO_FILES, Includes, Plugins, include_tasks, load_plugins
from secura_bench.foundation.errors import BenchError


def list_kind(
    kind: Annotated[str, typer.Argument(help="tasks, lists, methods, models or configs.")],
    plugins: Plugins = NO_FILES,
    includes: Includes = NO_FILES,
) -> None:
    """List what a spec can name: tasks, named lists, methods, models, shipped specs."""
    from secura_bench.cli.listing import KINDS, show
    from secura_bench.foundation.errors import unknown_name

    if kind not in KINDS:
        raise BenchError(f"ls {kind}: {unknown_name('kind', kind, KINDS)}")
    load_plugins(plugins)
    include_tasks(includes)
    show(KINDS[kind]())
