"""What there is to name in a spec: tasks, named lists, methods, models and shipped specs, as lists to read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.resources import shipped
from secura_bench.foundation.wording import first_line
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.hub.cache import Repository
from secura_bench.tasks.catalog import CATALOG, load_task
from secura_bench.tasks.file import TaskFile, restriction
from secura_bench.tasks.sources import DATA_VARIABLE


@dataclass(frozen=True)
class Listing:
    """A list as a table of texts; ``notes`` stand below it."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str] = ()


def tasks() -> Listing:
    """List every task: its metrics, rows where known, where it would be read from, whether it is here, its licence.

    A licence that is non-commercial or unknown is marked and spelled out below.
    """
    rows, bound, stand_ins = [], [], []
    for name in CATALOG.names():
        task = load_task(name)
        place = _place(task)
        mark = restriction(place.licence)
        short = place.licence.split(" (")[0].split(";")[0].split(" on the ")[0]
        rows.append(
            (name, ", ".join(task.metric), place.rows, place.here, f"{short}{' !' if mark else ''}", place.source)
        )
        if mark:
            bound.append(f"! {name}: {mark}: {place.licence}")
        if place.stand_in:
            stand_ins.append(f"stand-in, {name}: {place.stand_in}")
    return Listing(("task", "metric", "rows", "here", "licence", "source"), rows, [*bound, *stand_ins])


def lists() -> Listing:
    """List the named lists with their tasks."""
    rows = [(name, str(len(members)), ", ".join(members)) for name, members in CATALOG.lists.items()]
    return Listing(("list", "tasks", ""), rows)


def methods() -> Listing:
    """List every registered method with the first line of what it says of itself, and where it is not its paper's."""
    rows = [(name, first_line(METHODS.get(name).__doc__ or "")) for name in METHODS.names()]
    notes = [f"{name}: {told}" for name in METHODS.names() if (told := deviation(METHODS.get(name).__doc__))]
    return Listing(("method", ""), rows, ["Otherwise than in their papers:", *notes] if notes else ())


def models() -> Listing:
    """List the model presets."""
    from secura_bench.models.load import presets

    rows = []
    for name, preset in presets().items():
        rows.append((name, preset.hub or "ships with the package", "gated" if preset.gated else ""))
    notes = [
        "gated: accept the licence at the model's page on the Hub, and set HF_TOKEN.",
        "Any Hub id, and any folder that holds a model, will do too.",
    ]
    return Listing(("model", "from", ""), rows, notes)


def configs() -> Listing:
    """List the shipped specs with the first sentence of their opening comment."""
    rows = []
    for path in sorted(shipped("configs").glob("*.yaml")):
        about = _first_sentence(path.read_text(encoding="utf-8"))
        rows.append((path.stem, about or str(YamlFile.read(path).data.get("experiment", ""))))
    return Listing(("config", ""), rows)


KINDS = {"tasks": tasks, "methods": methods, "models": models, "lists": lists, "configs": configs}


def print_listing(listing: Listing) -> None:
    """Print a list to standard output, as wide as the terminal; a long cell goes on in the next line."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(listing.headings))
    for index, heading in enumerate(listing.headings):
        table.add_column(heading, no_wrap=index == 0, overflow="fold", justify="right" if heading == "rows" else "left")
    for row in listing.rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    for note in listing.notes:
        console.print(Text(note))


@dataclass(frozen=True)
class _Place:
    """Where a task would be read from on this machine."""

    rows: str
    here: str
    licence: str
    source: str
    stand_in: str | None


def _place(task: TaskFile) -> _Place:
    folder = os.environ.get(DATA_VARIABLE)
    if task.file:
        return _Place(_count(task.file.path), _yes(task.file.path), task.licence, task.file.path.name, None)
    if task.generated:
        return _Place("any", "yes", task.licence, "generated", None)
    if task.local and (folder or not task.hub):
        path = Path(folder or ".") / task.local.file
        here = _yes(path) if folder else "no"
        return _Place(_count(path), here, task.local.licence or task.licence, "local file", task.local.stand_in)
    hub = task.hub
    if hub is None:  # the task file's validator saw to it that there is one
        return _Place("–", "no", task.licence, "", None)
    snapshots = Repository("dataset", hub.path).folder / "snapshots"
    here = "cached" if snapshots.is_dir() else "Hub"
    return _Place("–", here, hub.licence or task.licence, hub.path, hub.stand_in)


def _yes(path: Path) -> str:
    return "yes" if path.is_file() else "no"


def _count(path: Path) -> str:
    """Return the number of rows of a JSON-lines file, which is the number of lines that are not blank."""
    if path.suffix != ".jsonl" or not path.is_file():
        return "–"
    with path.open("rb") as stream:
        return str(sum(bool(line.strip()) for line in stream))


def _first_sentence(text: str) -> str:
    """Return the first sentence of a file's opening comment, over its lines; "" where there is no comment.

    An indented line is a command: it ends the sentence. A full stop behind one letter, as in "e.g.", does not.
    """
    lines = [line for line in text.splitlines() if not line.startswith("# yaml-language-server:")]
    comment = takewhile(lambda line: re.match("# ?[^ ]", line), lines)
    words = " ".join(line.lstrip("# ").rstrip() for line in comment)
    return re.split(r"(?<=[^ .][^ .]\.) +", words, maxsplit=1)[0]


def deviation(doc: str | None) -> str:
    """Return the paragraph of a docstring that says what is not as in the method's paper; empty without one."""
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", doc or ""))
    return next((part.removeprefix("Deviation: ") for part in paragraphs if part.startswith("Deviation: ")), "")
