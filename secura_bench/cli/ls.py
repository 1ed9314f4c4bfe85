"""`secura-bench ls`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secura_bench.cli.options import NO_FILES, Includes, Plugins, include_tasks, load_plugins
from secura_bench.foundation.errors import BenchError

if TYPE_CHECKING:
    from secura_bench.cli.listing import Listing


def list_kind(
    kind: Annotated[
        str, typer.Argument(help="tasks, lists, methods, models, configs, protocols, metrics, publications or results.")
    ],
    of: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Of methods or publications one, whole; of results a folder.")
    ] = None,
    plugins: Plugins = NO_FILES,
    includes: Includes = NO_FILES,
) -> None:
    """List what a spec can name: tasks, lists, methods, models, shipped specs, scores; publications; and results."""
    from secura_bench.cli.found_results import results
    from secura_bench.cli.listing import KINDS, print_listing
    from secura_bench.cli.one_method import one_method
    from secura_bench.cli.publications import one_publication, publications
    from secura_bench.cli.scores import metrics, protocols
    from secura_bench.foundation.errors import unknown_name

    kinds: dict[str, Callable[[], Listing]] = {
        **KINDS,
        "protocols": protocols,
        "metrics": metrics,
        "publications": publications,
        "results": lambda: results(Path(of or "results")),
    }
    if kind not in kinds:
        raise BenchError(f"ls {kind}: {unknown_name('kind', kind, kinds)}")
    one = {"methods": one_method, "publications": one_publication}
    if of is not None and kind not in (*one, "results"):
        raise BenchError(
            f"ls {kind} {of}: {kind} are listed whole; only `ls methods NAME`, `ls publications NAME` and `ls results "
            "FOLDER` go on."
        )
    load_plugins(plugins)
    include_tasks(includes)
    print_listing(one[kind](of) if of is not None and kind in one else kinds[kind]())
