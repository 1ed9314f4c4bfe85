"""What of a publication nothing here can stand beside, in words: names that are meant so, and misspelled ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from secura_bench.foundation.registry import METHODS
from secura_bench.publications.place import AVERAGE
from secura_bench.publications.publication import Publication
from secura_bench.report.against.shapes import Part, Shape, shapes_of
from secura_bench.report.study.protocols import METRICS
from secura_bench.report.tables import footnotes
from secura_bench.tasks.catalog import task_files, task_lists


def unmatched(publication: Publication) -> list[str]:
    """Return a sentence for each kind of name that the file has and not this bench, or the tables and not the file."""
    lines = [f"Not of this bench: {kind} {_some(names)}." for kind, names in _unknown_here(publication) if names]
    for shape in shapes_of(publication).values():
        lines += [f"Table {shape.id}: beside nothing stand {said}." for said in _beside_nothing(shape)]
    return lines


def _unknown_here(publication: Publication) -> Iterator[tuple[str, list[str]]]:
    file = publication.file
    parts = [part for shape in shapes_of(publication).values() for part in shape.parts]
    measured = ((part, metric) for part in parts for metric in part.metrics)
    scored = [name for part, metric in measured if _is_measured(part, metric) for name in part.scored_by(metric)]
    yield "metrics", [name for name in scored if name not in METRICS and ":" not in name]
    methods = METHODS.names()
    yield "methods", [name for row, of in file.methods.items() if (name := of.method or row) not in methods]
    tasks = {*task_files(), *task_lists()}
    named = [task for part in parts for task in (*part.tasks, *filter(None, [part.of.probe]))]
    yield "tasks", [task for task in named if task not in tasks]


def _beside_nothing(shape: Shape) -> Iterator[str]:
    """Yield how many numbers of a table have a method, task or model that nothing of this bench is said to be."""
    file = shape.publication.file
    own = [place for place in shape.publication.numbers if place.table == shape.id]
    tasks = {task for part in shape.parts for task in part.tasks}
    own_rows = {metric for part in shape.parts for metric in part.metrics if part.role(metric) == "task"}
    of_tasks = [place for place in own if place.metric in own_rows or shape.table.layout == "stages"]
    for kind, names in (
        ("method", [place.method for place in own if place.method not in file.methods and place.method != "base"]),
        ("model", [place.model for place in own if place.model and place.model not in (*file.models, AVERAGE)]),
        ("task", [place.task for place in of_tasks if place.task and place.task not in tasks]),
        ("task trained last", [place.after for place in own if place.after and place.after not in (*tasks, "base")]),
    ):
        if names:
            yield f"{len(names)} of {len(own)} numbers, for their {kind}: {_some(names)}"


def _is_measured(part: Part, metric: str) -> bool:
    return part.measured(metric).what != "unmeasured"


def _some(names: Iterable[str]) -> str:
    return footnotes.some([*dict.fromkeys(names)])
