"""A publication's file, as a typed and frozen value: ``publications/*.yaml``, or anybody's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from secura_bench.foundation.errors import unknown_name
from secura_bench.foundation.schema import Explained, Slug
from secura_bench.publications.kinds import Protocol, Scale, Shares
from secura_bench.spec.each_task import by_task
from secura_bench.spec.sections import EACH_TASK, DataSpec, EvaluateSpec, TrainSpec
from secura_bench.spec.types import as_list

Coordinate = Literal["model", "method", "task", "metric", "after", "step", "variant"]
"""What says where a number stands: of which model and method, on which task, by which metric, after which task or at
which step of it, and, in an ablation, of which value."""
Names = Annotated[tuple[str, ...], BeforeValidator(as_list)]
Held = dict[str, Any]
"""Settings that must hold, by key; ``{either: [A, B]}`` where more than one value may be, ``{same_as: KEY}`` where it
is another key's."""


def _of(kind: type[Explained]) -> AfterValidator:
    """Refuse a key that no spec has: it would be held against nothing."""

    def check(held: Held) -> Held:
        if wrong := next((key for key in held if key not in kind.model_fields), None):
            raise ValueError(unknown_name("key", wrong, kind.model_fields))
        return held

    return AfterValidator(check)


Train = Annotated[Held, _of(TrainSpec)]
Data = Annotated[Held, _of(DataSpec)]
Evaluate = Annotated[Held, _of(EvaluateSpec)]


def train_value(key: str, value: Any, tasks: Sequence[str]) -> Any:
    """Return a held value of ``train`` as records have it: a list of one for each task goes by the tasks' names.

    Raises:
        SpecError: The list is of another length.
    """
    return by_task(tuple(value), tasks) if key in EACH_TASK and isinstance(value, list) else value


class Measured(Explained):
    """A metric of a publication: which of this bench's it is."""

    metric: str | None = None
    """The metric of this bench; unset, the one of this name."""

    printed: Names = ()
    """What the publication's tables call it; unset, as here."""

    mean: Names = ()
    """Several metrics whose mean it is, instead of ``metric``."""

    protocol: Protocol | None = None
    """The protocol that scores it; unset, the publication's."""

    of: Literal["task", "probe"] | None = None
    """Whether it is of a trained task's rows or of the probe's; unset, as the experiment says."""

    what: Literal["score", "log_change", "average", "backward_transfer", "unmeasured"] = "score"
    """What is compared: the ``score``; ``log_change``, the logarithm of the score less that of the base's (for a
    perplexity, the change of the loss); of a whole sequence the ``average`` at its end or its ``backward_transfer``;
    ``unmeasured`` is what this bench has no counterpart of."""

    better: Literal["higher", "lower"] = "higher"
    """Which numbers are the better ones."""


class MethodOf(Explained):
    """A method of a publication: which of this bench's it is, and under which settings."""

    method: str | None = None
    """The registered method; unset, the one of this name."""

    printed: Names = ()
    """What the publication's tables call it; unset, as here."""

    where: Held = Field(default_factory=dict)
    """Options by which a run is told to be of this method at all (the tuner of ``peft``)."""

    options: Held = Field(default_factory=dict)
    """The published options. An option that is not here is held against its default."""

    train: Train = Field(default_factory=dict)
    """The published training settings that are this method's own."""


class Rows(Explained):
    """How many rows of a task were trained on and tested on, where the task has test rows of its own."""

    train: int | None = None
    """The rows that were trained on."""

    test: int | None = None
    """The rows that were tested on."""


class Experiment(Explained):
    """How a publication's runs were made: what must hold of a run whose scores may stand beside its numbers."""

    about: str = ""
    """What it is, in a sentence that stands under its tables."""

    mode: Literal["sequence", "separate"] = "sequence"
    """Whether tasks are trained one after another or each alone."""

    scored: Literal["task", "probe"] = "task"
    """Whether the numbers are of the trained tasks' rows or of the probe's."""

    sequence: Names = ()
    """The tasks in their order, in mode ``sequence``."""

    train: Train = Field(default_factory=dict)
    """Keys of a spec's ``train``; one that is not here is held against its default, but for ``lr``."""

    data: Data = Field(default_factory=dict)
    """Keys of a spec's ``data``."""

    evaluate: Evaluate = Field(default_factory=dict)
    """Keys of a spec's ``evaluate``."""

    probe: str | None = None
    """The probe, where the numbers are of one."""

    probe_rows: int | None = None
    """How many rows it has."""

    rows: dict[str, Rows] = Field(default_factory=dict)
    """By task, how many rows were trained on and tested on. Unset: as ``data`` splits a task's own rows."""

    metrics: dict[str, Measured] = Field(default_factory=dict)
    """By metric, what stands for it in this experiment: of a small one that shows an order in short. Such a number
    stands beside the published one and is never compared with it."""

    methods: dict[str, MethodOf] = Field(default_factory=dict)
    """By method, what is otherwise in this experiment."""


class TablePart(Explained):
    """What one experiment gives to a table."""

    experiment: str
    """The experiment."""

    tasks: Names = ()
    """The tasks, each a column, or in a ``matrix`` those of its columns in order; unset, the experiment's sequence."""

    metrics: Names = ()
    """The metrics, by their names here."""


class Follows(Explained):
    """What some printed numbers must follow from, to be right."""

    where: dict[Coordinate, str] = Field(default_factory=dict)
    """Which numbers of the table these are; unset, all."""

    formula: Literal["mean", "average", "backward_transfer", "gain"]
    """How: the ``mean`` ``over`` others; of an accuracy matrix the ``average`` of its last row, or the
    ``backward_transfer``; ``gain``, the mean of the row's other numbers less that of the row ``base``."""

    table: str | None = None
    """The table that those stand in; unset, the same."""

    over: dict[Coordinate | Literal["table"], Names] = Field(default_factory=dict)
    """For ``mean``: which coordinates, or the ``table``, take which values."""

    base: str = "base"
    """For ``gain``: the method whose row is taken off."""

    tolerance: float | None = None
    """How far off is still right; unset, what the printed digits leave open."""


class PublishedTable(Explained):
    """One table: which numbers of which file stand in it, and what this bench puts beside them."""

    caption: str
    """What it shows."""

    layout: Literal["scores", "stages", "matrix", "methods", "counts", "listed"] = "listed"
    """How it is set beside this bench's numbers: ``scores`` (a row a method, a column a task), ``stages`` (a row a
    moment of the sequence, a column a method), ``matrix`` (a row a method and the task trained last, a column a task
    that is scored), ``methods`` (a row a method, a column a metric), ``counts`` of parameters. What is only ``listed``
    has no counterpart here; its numbers are looked at for flaws all the same."""

    file: Path | None = None
    """The CSV file with the numbers, from this file's folder on."""

    columns: dict[Coordinate, Names] = Field(default_factory=dict)
    """Which of its columns say where a number stands; of several the values are joined by a space."""

    patterns: dict[str, str] = Field(default_factory=dict)
    """By column, an RE2 pattern whose named groups are coordinates, where one column says several."""

    fixed: dict[Coordinate, str] = Field(default_factory=dict)
    """Coordinates that are the same for all numbers."""

    only: dict[str, Names] = Field(default_factory=dict)
    """By column, the values of the rows that belong to this table; unset, all do."""

    values: dict[str, dict[Coordinate, str]] = Field(default_factory=dict)
    """The columns that hold numbers, each with the coordinates that are its own."""

    marked: str | None = None
    """The column that says (1 or 0) whether a number is printed as the best."""

    interval: str | None = None
    """The column with a number's interval, or standard deviation; unset, the table prints none."""

    scale: Scale = 1.0
    """By what the printed numbers are multiplied to be in this bench's unit (100, where they are shares)."""

    scales: dict[str, Scale] = Field(default_factory=dict)
    """The same by metric, where the table's metrics are in several units."""

    digits: Annotated[int, Field(ge=0, le=15)] | None = None
    """How many digits after the point are printed; unset, as many as the file's longest number has."""

    tolerance: float | None = None
    """How far this bench's number may be off and be the same; unset, half a unit of the last printed digit."""

    kind: Literal["primary", "secondary"] | None = None
    """Whether the numbers are from the publication itself or from somebody's copy; unset, as the publication's."""

    source: str | None = None
    """Where the numbers are from, if not where the publication's are."""

    parts: tuple[TablePart, ...] = ()
    """The experiments that its columns are of."""

    methods: Names = ()
    """The methods that have rows, in order; unset, all that have numbers."""

    models: Names = ()
    """The models, in order; unset, all of the publication's."""

    merged: bool = False
    """Whether its numbers are averages over the models."""

    vary: str | None = None
    """The option of which each value is a row of its own: an ablation, or several ranks."""

    vary_values: tuple[Any, ...] = ()
    """Those values."""

    follows: tuple[Follows, ...] = ()
    """Which of its numbers follow from others."""

    notes: Names = ()
    """Sentences that stand under it."""


class PublicationFile(Explained):
    """A publication: whose numbers these are, what they were made with, and in which tables they stand."""

    title: str
    """The title."""

    short: str = ""
    """What titles of tables put before their number; unset, nothing."""

    arxiv: str | None = None
    """Its number at arXiv."""

    source: str
    """Where the numbers are from, as tables name it."""

    licence: str = "facts"
    """The licence of the numbers' files, where they have one."""

    kind: Literal["primary", "secondary"] = "primary"
    """Whether the numbers are from the publication itself, or from somebody's copy of them."""

    protocol: Protocol
    """The protocol that scores what it printed."""

    models: Annotated[dict[Slug, Names], Field(min_length=1)]
    """This bench's names of its models, each with what its tables call it; the first stands beside others' models."""

    tasks: dict[str, Names] = Field(default_factory=dict)
    """This bench's names of its tasks, each with what its tables call it, where that is another name."""

    metrics: dict[str, Measured]
    """Its metrics, by their names in this bench's tables."""

    metric_of: dict[str, str] = Field(default_factory=dict)
    """By task, the metric of numbers whose table names none."""

    methods: dict[str, MethodOf] = Field(default_factory=dict)
    """Its methods, by their names in this bench's tables."""

    varied: dict[str, Held] = Field(default_factory=dict)
    """By method, what the options that tables ``vary`` are outside of those tables."""

    train: Train = Field(default_factory=dict)
    """Keys of a spec's ``train`` in all experiments."""

    data: Data = Field(default_factory=dict)
    """Keys of a spec's ``data`` in all experiments."""

    experiments: dict[str, Experiment] = Field(default_factory=dict)
    """Its experiments by name."""

    tables: dict[str, PublishedTable]
    """Its tables by number or name."""

    shares: dict[str, Shares] = Field(default_factory=dict)
    """By task, the classes' shares of the rows that are scored, each as ``[rows, of all]``: what a constant answer
    scores."""

    seeds: int | None = None
    """How many seeds a number is the mean of; unset, it does not say."""

    notes: Names = ()
    """What else a reader must know."""
