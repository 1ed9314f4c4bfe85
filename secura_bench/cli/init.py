"""`secura-bench init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secura_bench.cli.options import NO_FILES, Plugins, load_plugins, say
from secura_bench.foundation.errors import BenchError


def init(
    file: Annotated[Path, typer.Argument(help="The spec to write; never one that is there.")] = Path("experiment.yaml"),
    model: Annotated[str, typer.Option(help="A preset, a Hub id or a folder; `tiny` ships with the bench.")] = "tiny",
    tasks: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="Tasks, lists, or files of rows (JSON, JSON Lines, CSV, Parquet)."),
    ] = None,
    methods: Annotated[str, typer.Option(metavar="A,B,…", help="Methods; `ls methods` names them.")] = "lora,secura",
    probe: Annotated[
        str | None, typer.Option(help="The task or list that must not be forgotten.", show_default="f_task")
    ] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="Train each task alone, from a fresh model, not one after another.")
    ] = False,
    plugins: Plugins = NO_FILES,
) -> None:
    """Write a commented spec to start from: every key with what it means and its default."""
    from secura_bench.foundation.schema import slug
    from secura_bench.spec.load import load_specs
    from secura_bench.spec.starting import open_options, starting_spec

    if file.exists():
        raise BenchError(f"{file}: is there already; name another file, or move it away.")
    load_plugins(plugins)
    small = model == "tiny"  # which knows nothing of the paper's tasks, and has its own
    spec = {
        "experiment": slug(file.stem, "experiment"),
        "mode": "separate" if separate else "sequence",
        "model": model,
        "tasks": _names(tasks or ("tiny" if small else "objcount,absnarr")),
        "probe": probe or ("tiny_f_task" if small else "f_task"),
    }
    head = [
        f"What it takes:  secura-bench plan {file}",
        f"Do it:          secura-bench run {file}",
        "",
        "A key behind `#` has the value that stands there; take the `#` away to set another (and that of its section).",
    ]
    names = _names(methods)
    text = starting_spec(head, spec, names)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as stream:
        stream.write(text)
    if wanting := open_options(names):
        say(f"{file} is written. Fill in {wanting}. Then: secura-bench plan {file}", False)
        return
    try:
        load_specs(str(file))
    except BaseException as error:
        file.unlink()
        if isinstance(error, BenchError):
            raise type(error)(f"{error} Nothing was written.") from None
        raise
    say(f"{file} is written. Next: secura-bench plan {file}", False)


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]
