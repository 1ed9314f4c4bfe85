"""A publication's tables as shapes: which experiment's scores stand where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

from secura_bench.publications.file import Experiment, Measured, PublishedTable
from secura_bench.publications.publication import Publication
from secura_bench.report.study.runs import Role


@dataclass(frozen=True, eq=False)
class Part:
    """What one experiment gives to a table: the score of ``tasks`` themselves, or of the probe after them."""

    publication: Publication
    experiment: str
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def of(self) -> Experiment:
        """How the experiment's runs were made."""
        return self.publication.file.experiments[self.experiment]

    @property
    def mode(self) -> Literal["sequence", "separate"]:
        """The mode of the experiment's runs."""
        return self.of.mode

    @property
    def probed(self) -> bool:
        """Whether any of its numbers is of a probe."""
        return any(self.role(metric) == "probe" for metric in self.metrics)

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that its numbers are by."""
        return tuple(dict.fromkeys(self.protocol(metric) for metric in self.metrics))

    def measured(self, metric: str) -> Measured:
        """Return what one of its metrics is here, or what stands for it in this experiment."""
        return self.of.metrics.get(metric) or self.publication.file.metrics[metric]

    def heading(self, metric: str) -> str:
        """Return what a column of the metric is called: by its name, and by what stands for it if another one does."""
        if metric not in self.of.metrics:
            return metric
        return f"{metric} ({', '.join((self.protocol(metric), *self.scored_by(metric)))})"

    def role(self, metric: str) -> Role:
        """Return of which rows a metric is."""
        return self.measured(metric).of or self.of.scored

    def protocol(self, metric: str) -> str:
        """Return which protocol scores a metric."""
        return self.measured(metric).protocol or self.publication.file.protocol

    def scored_by(self, metric: str) -> tuple[str, ...]:
        """Return the metrics of this bench that a metric is, or is the mean of."""
        measured = self.measured(metric)
        return measured.mean or (measured.metric or metric,)


@dataclass(frozen=True, eq=False)
class Shape:
    """One of a publication's tables: its parts, methods, models.

    ``merged`` averages over models. ``vary`` is the option whose values the rows are, in an ablation.
    """

    publication: Publication
    id: str
    table: PublishedTable
    parts: tuple[Part, ...]
    methods: tuple[str, ...]
    models: tuple[str, ...]

    @property
    def title(self) -> str:
        """What it is called: by its number or name, and what it shows."""
        named = f"Table {self.id}" if self.id[:1].isdigit() else self.id.replace("_", " ")
        return f"{self.publication.file.short} {named} · {self.table.caption}".lstrip()

    def row_of(self, registered: str) -> str:
        """Return which of its rows is of a registered method (``base``, ``mtl``); empty where none is."""
        of = self.publication.file.methods
        return next((name for name in self.methods if (of[name].method or name) == registered), "")

    @property
    def merged(self) -> bool:
        """Whether its numbers are averages over the models."""
        return self.table.merged

    @property
    def vary(self) -> str:
        """The option of which each value is a row; empty outside of an ablation."""
        return self.table.vary or ""

    @property
    def values(self) -> tuple[Any, ...]:
        """The published values of that option."""
        return self.table.vary_values

    @property
    def source(self) -> str:
        """Where its numbers are from."""
        return self.publication.source(self.id)


_SHAPES: WeakKeyDictionary[Publication, Mapping[str, Shape]] = WeakKeyDictionary()


def shapes_of(publication: Publication) -> Mapping[str, Shape]:
    """Return a publication's tables by number or name, but for those that are only listed, and counts."""
    if publication not in _SHAPES:
        tables = publication.file.tables.items()
        shown = {id_: table for id_, table in tables if table.layout not in ("listed", "counts")}
        _SHAPES[publication] = {id_: _shape(publication, id_, table) for id_, table in shown.items()}
    return _SHAPES[publication]


def names_of(publication: Publication) -> tuple[str, ...]:
    """Return the tables that a report can be asked for."""
    return tuple(id_ for id_, table in publication.file.tables.items() if table.layout != "listed")


def _shape(publication: Publication, id_: str, table: PublishedTable) -> Shape:
    file = publication.file
    there = dict.fromkeys(place.method for place in publication.numbers if place.table == id_)
    parts = tuple(
        Part(
            publication,
            part.experiment,
            part.tasks or file.experiments[part.experiment].sequence,
            part.metrics or tuple(dict.fromkeys(p.metric for p in publication.numbers if p.table == id_)),
        )
        for part in table.parts
    )
    methods = table.methods or tuple(name for name in file.methods if name in there)
    return Shape(publication, id_, table, parts, methods, table.models or tuple(file.models))
