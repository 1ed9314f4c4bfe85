"""`secura-bench schema`: what specs, task files and publications may hold, for editors."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from secura_bench.cli.options import NO_FILES, Plugins, load_plugins
from secura_bench.foundation.errors import BenchError


def schema(
    of: Annotated[str, typer.Argument(metavar="[spec|task|lists|publication]", help="What is written.")] = "spec",
    plugins: Plugins = NO_FILES,
) -> None:
    """Print the JSON Schema of specs, task files, lists or publications; with --plugin, its methods are known too."""
    from secura_bench.foundation.errors import unknown_name
    from secura_bench.plan.schema import SCHEMAS

    if of not in SCHEMAS:
        raise BenchError(f"schema {of}: {unknown_name('kind', of, SCHEMAS)}")
    load_plugins(plugins)
    typer.echo(json.dumps(SCHEMAS[of](), indent=2, ensure_ascii=False))
