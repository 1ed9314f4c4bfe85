"""The grid of ``tune``, spread over a spec's methods: what each is tried with, as entries of their own."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from secura_bench.foundation.errors import SpecError, quoted, unknown_name
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.yaml_file import KeyPath, YamlFile, explain
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.matrix import in_a_name
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.sections import EACH_TASK, TrainSpec
from secura_bench.spec.tune import TRAINED, Grid, Tuned, TuneSpec, settings_of
from secura_bench.tasks.catalog import expand, load_task
from secura_bench.tasks.file import NEVER_TRAINED

_LONGEST = 80
_MOST_SETTINGS = 100
SUFFIX = "-tune"
"""What the name of the experiment of the trials ends with."""


def tuned_methods(spec: ExperimentSpec) -> tuple[MethodSpec, ...]:
    """Return the methods that are tuned: those that are trained here."""
    return tuple(method for method in spec.methods if not (method.is_base or method.is_checkpoint))


def grid_of(method: MethodSpec, tune: TuneSpec) -> Grid:
    """Return what a method is tried with: its own grid, or the spec's."""
    return tune.grid if method.grid is None else method.grid


def with_settings(method: MethodSpec, settings: Mapping[str, Any], tuned: Tuned, label: str = "") -> MethodSpec:
    """Return a method with ``settings``, by dotted key, in the place of its own; its label as it is if none is given.

    Raises:
        SpecError: A key leads into what holds no keys.
    """
    data = {"options": copy.deepcopy(method.options), "train": copy.deepcopy(method.train)}
    for key, value in settings.items():
        first, *parents, last = key.split(".")
        place = data["train" if first == "train" else "options"]
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise SpecError(f"{key}: {parent!r} holds no keys.")
        place[last] = value
        if other := {"train.steps": "epochs", "train.epochs": "steps"}.get(key):
            place.pop(other, None)
    return method.model_copy(update={**data, "grid": None, "tuned": tuned, "label": label or method.label})


def every_setting(spec: ExperimentSpec) -> ExperimentSpec:
    """Return the spec with each method in each of its settings, as a matrix has them, and with nothing left to tune."""
    return spec.model_copy(
        update={"tune": None, "methods": tuple(each for method in spec.methods for each in _spread(method, spec.tune))}
    )


def _spread(method: MethodSpec, tune: TuneSpec | None) -> Iterator[MethodSpec]:
    if tune is None or method.is_base or method.is_checkpoint:
        yield method
        return
    grid = grid_of(method, tune)
    for settings in settings_of(grid):
        tuned = Tuned(family=method.label, settings=settings, choose="frontier", grid=grid)
        names = (
            f"-{key.partition('.')[2]}-{in_a_name(value, grid[key].index(value))}" for key, value in settings.items()
        )
        yield with_settings(method, settings, tuned, f"{method.label}{''.join(names)}"[:_LONGEST])


def check_tune(spec: ExperimentSpec, file: YamlFile) -> None:
    """Check what ``tune`` says against the spec: its task, its reference, and each method with each of its settings.

    Raises:
        SpecError: Names file, line, key and the way out.
    """
    tune = spec.tune
    if tune is None:
        for index, method in enumerate(spec.methods):
            if method.grid is not None:
                raise file.error(("methods", index, "grid"), "is the grid of 'tune', and the spec has no such key.")
        return
    methods = tuned_methods(spec)
    if not methods:
        raise file.error(("tune",), "none of the methods is trained here; there is nothing to tune.")
    _check_sizes(spec, tune, file)
    for index, method in enumerate(spec.methods):
        if method in methods:
            _check_settings(spec, tune, method, ("methods", index) if method.grid else ("tune",), file)
    if tune.choose == "frontier":
        labels = [method.label for method in every_setting(spec).methods]
        if twice := next((label for label in labels if labels.count(label) > 1), None):
            raise file.error(
                ("tune", "grid"), f"two settings come to the label {twice!r}; give methods shorter labels."
            )
        return
    if tune.reference is not None and tune.reference not in [method.label for method in methods]:
        names = [method.label for method in methods]
        raise file.error(("tune", "reference"), unknown_name("method", tune.reference, names))
    if tune.choose == "match":
        _check_one_rate(spec, tune, file)
    if len(spec.experiment) + len(SUFFIX) > _LONGEST:
        raise file.error(
            ("experiment",), f"leaves no room for {SUFFIX!r}, the trials' name; {_LONGEST} letters in all."
        )
    if tune.on is not None and tune.on != TRAINED:
        _check_task(spec, tune.on, file)
        _check_each_task(spec, tune, tune.on, file)
    if tune.steps is None and not isinstance(spec.train.steps, int):
        raise file.error(
            ("tune",), "steps: 'train' says none that all tasks have; say here how many each trial trains."
        )


def _check_sizes(spec: ExperimentSpec, tune: TuneSpec, file: YamlFile) -> None:
    sizes = {method.label: math.prod(map(len, grid_of(method, tune).values())) for method in tuned_methods(spec)}
    if max(sizes.values()) > _MOST_SETTINGS:
        raise file.error(("tune", "grid"), f"makes more than {_MOST_SETTINGS} settings of a method.")
    (first, wanted), *others = sizes.items()
    for label, size in others:
        if size != wanted:
            raise file.error(
                ("tune", "grid"),
                f"{label} is tried with {size} settings, and {first} with {wanted}; give each as many.",
            )


def _check_settings(spec: ExperimentSpec, tune: TuneSpec, method: MethodSpec, at: KeyPath, file: YamlFile) -> None:
    """Check each value of a method's grid, by itself: what is wrong is one key's."""
    grid = grid_of(method, tune)
    options: type[BaseModel] = METHODS.get(method.name).Options
    nothing = Tuned(family=method.label, settings={}, choose="frontier", grid={})
    for key, values in grid.items():
        for value in values:
            try:
                tried = with_settings(method, {key: value}, nothing)
                if key.startswith("train."):
                    TrainSpec.model_validate(spec.train.over(tried.train))
                    if key.partition(".")[2] in EACH_TASK and isinstance(value, (list, dict)):
                        raise SpecError(
                            f"{key}: a grid has one value for all tasks in each place (here: {quoted(value)})."
                        )
                else:
                    options.model_validate(tried.options)
            except SpecError as error:
                raise file.error((*at, "grid"), str(error)) from None
            except ValidationError as error:
                model = TrainSpec if key.startswith("train.") else options
                where, message = explain(error.errors()[0], model)
                of = "" if key.startswith("train.") else f"{method.label}: "
                raise file.error((*at, "grid", key), f"{of}{'.'.join(map(str, where))}: {message}") from None


def _check_one_rate(spec: ExperimentSpec, tune: TuneSpec, file: YamlFile) -> None:
    for method in tuned_methods(spec):
        grid = grid_of(method, tune)
        numbers = [value for values in grid.values() for value in values]
        positive = all(
            isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 for value in numbers
        )
        if len(grid) > 1 or len(numbers) < 2 or not positive:
            raise file.error(
                ("tune", "grid"),
                f"choose: match goes along one key of two or more positive numbers; {method.label} has "
                f"{', '.join(grid)} (here: {quoted(numbers)}).",
            )


def _check_each_task(spec: ExperimentSpec, tune: TuneSpec, on: str, file: YamlFile) -> None:
    """Refuse what is said for each of the spec's tasks where trials train another, unless the grid says it."""
    for method in tuned_methods(spec):
        settings = next(settings_of(grid_of(method, tune)))
        tried = with_settings(method, settings, Tuned(family=method.label, settings={}, choose="frontier", grid={}))
        train = TrainSpec.model_validate(spec.train.over(tried.train))
        try:
            train.model_copy(update={"steps": 1, "epochs": None}).for_tasks(expand((on,)))
        except SpecError as error:
            raise file.error(
                ("tune", "on"), f"{on} is none of the tasks that 'train' has values for: {error} Or on: {TRAINED}."
            ) from None


def _check_task(spec: ExperimentSpec, on: str, file: YamlFile) -> None:
    try:
        names = expand((on,))
        if len(names) > 1:
            raise SpecError(f"{on} is {len(names)} tasks, and one is wanted here.")
        if what := NEVER_TRAINED.get(load_task(names[0]).kind):
            raise SpecError(f"{names[0]!r} is {what}, which is never trained on.")
        if names[0] in (*spec.task_names, *spec.own_parts):
            raise SpecError(
                f"{names[0]!r} is trained on or probed by the experiment itself; take another task, or {TRAINED}."
            )
    except SpecError as error:
        raise file.error(("tune", "on"), str(error)) from None
