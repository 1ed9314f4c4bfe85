"""How the settings of a spec's methods are chosen: the section ``tune``, and what a chosen run says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from secura_bench.foundation.errors import quoted
from secura_bench.foundation.schema import Explained, Part
from secura_bench.spec.types import Count, Number, Seed, as_list

Choose = Literal["best", "match", "frontier"]
TRAINED = "train"
"""What ``on`` says where rows of the trained tasks themselves are held out."""
_DIGITS = 3
"""Significant digits of a rate that is computed: what is far below a grid's step is left to nobody's sight."""


class Spaced(Explained):
    """So many values from one to another, each the same number of times the one before."""

    from_: Annotated[Number, Field(gt=0, alias="from")]
    """The first value."""

    to: Annotated[Number, Field(gt=0)]
    """The last value."""

    points: Annotated[Count, Field(ge=2, le=100)]
    """How many values, these two among them."""

    @property
    def values(self) -> tuple[float, ...]:
        """The values, rounded."""
        ratio = self.to / self.from_
        return tuple(rounded(self.from_ * ratio ** (i / (self.points - 1))) for i in range(self.points))


def rounded(value: float) -> float:
    """Return a setting as people write it, to three significant digits."""
    return float(f"{value:.{_DIGITS}g}")


def spelled(value: Any) -> str:
    """Return a setting as a sentence or a cell has it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _axis(value: Any) -> Any:
    if isinstance(value, dict):
        try:
            return Spaced.model_validate(value).values
        except ValidationError as error:
            (first, *_) = error.errors()
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"must be a list of values, or {{from, to, points}} (here: {quoted(value)})")
    if any(each in value[:index] for index, each in enumerate(value)):
        raise ValueError("a value stands here twice")
    return value


Axis = Annotated[tuple[Any, ...], BeforeValidator(_axis, json_schema_input_type=tuple[Any, ...] | Spaced)]


def _key(key: Any) -> Any:
    if isinstance(key, str) and re.fullmatch(r"(train|methods)(\.\w+)+", key):
        return key
    raise ValueError(f"a key of a grid is train.KEY, or methods.OPTION (here: {quoted(key)})")


Key = Annotated[str, BeforeValidator(_key)]
Grid = dict[Key, Axis]
"""Dotted keys, ``train.KEY`` or ``methods.OPTION``, to the values that each has."""
Settings = Mapping[str, Any]


def settings_of(grid: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Yield every combination of a grid's values, by dotted key."""
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


class TuneSpec(Explained):
    """How each method's settings are chosen, by as many trials of each, on rows that no table shows."""

    grid: Annotated[Grid, Field(min_length=1)]
    """The settings that each method is tried with: ``train.KEY`` or ``methods.OPTION`` to a list of values, or to
    ``{from: 1e-5, to: 1e-2, points: 7}``, spaced evenly on a log scale. A method's own ``grid`` takes its place, and
    must be as large."""

    choose: Choose
    """Which settings the experiment's runs have: ``best``, the lowest held-out loss of each method; ``match``, for each
    method that at which it learns what ``reference`` learns at its best; ``frontier``, all of them, each a run of its
    own."""

    on: Annotated[str, StringConstraints(min_length=1)] | None = None
    """What is trained and scored for the choice: a task that is neither trained on nor in the probe, or ``train``, the
    trained tasks, with a share of their training rows held out in the test rows' place. Of no use to ``frontier``."""

    reference: str | None = None
    """The label of the method that the others are to learn as much as; for ``match`` alone."""

    steps: Count | None = None
    """How many steps each trial trains a task; unset: as many as ``train.steps``."""

    seeds: Annotated[tuple[Seed, ...], BeforeValidator(as_list), Field(min_length=1)] | None = None
    """The seeds of each trial; unset: the first of the spec's."""

    @model_validator(mode="after")
    def _fits_its_choice(self) -> TuneSpec:
        if self.choose == "frontier":
            given = [key for key in ("on", "reference", "steps", "seeds") if getattr(self, key) is not None]
            if given:
                raise ValueError(f"{given[0]}: choose: frontier runs every setting as the spec has it; leave it out")
            return self
        if self.on is None:
            raise ValueError(f"on: choose: {self.choose} needs a task of no table, or {TRAINED}")
        if (self.reference is None) == (self.choose == "match"):
            wanted = "needs the label of a method" if self.choose == "match" else "has none; leave it out"
            raise ValueError(f"reference: choose: {self.choose} {wanted}")
        return self


class Tuned(Part):
    """What a run says of the choice of its settings; no part of what identifies the run.

    Attributes:
        family: the label of the entry that the settings are of. settings: by dotted key. grid: what there was.
        chosen_from: the folders of the runs that were looked at, below the results folder.
        on: the tasks of those; held_out: whether they were scored on rows of the training side.
        rows: how many rows those trained on and were scored on. runs, seconds: how many they were, and their time.
        steps: how long each trained a task; None where that is a key of the grid (``length``).
        loss: of the choice's trial, in nats a token; None where the setting is interpolated.
        learned: what it should learn, where it is a match: the main score of the protocol ``by``.
        edges: keys whose value is the ``lowest`` or the ``highest`` of the grid.
        left_out: methods of which no settings could be chosen, and why.
    """

    model_config = ConfigDict(populate_by_name=True)

    family: str
    settings: dict[str, Any]
    choose: Choose
    grid: dict[str, tuple[Any, ...]]
    reference: str | None = None
    chosen_from: Annotated[tuple[str, ...], Field(alias="from")] = ()
    on: tuple[str, ...] = ()
    held_out: bool = False
    rows: tuple[int, int] | None = None
    steps: int | None = None
    seeds: tuple[int, ...] = ()
    runs: int = 0
    seconds: float = 0.0
    loss: float | None = None
    learned: float | None = None
    by: str | None = None
    edges: dict[str, Literal["lowest", "highest"]] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)

    @property
    def length(self) -> str | None:
        """The key of the grid by which each trial was trained as long as it was: ``steps``, ``epochs``, or none."""
        return next((name for name in ("steps", "epochs") if f"train.{name}" in self.grid), None)

    @property
    def told(self) -> dict[str, Any]:
        """What specs and records hold of it: what is said, by the keys of a spec."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
