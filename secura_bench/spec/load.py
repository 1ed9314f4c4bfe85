"""Specs found, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from secura_bench.foundation.errors import SpecError, did_you_mean, quoted
from secura_bench.foundation.nearest import nearest_path
from secura_bench.foundation.resources import shipped
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.spec.check import check_methods, check_names, located
from secura_bench.spec.checkpoint import place_checkpoints
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.grid import check_tune, every_setting
from secura_bench.spec.matrix import variants_of
from secura_bench.spec.probe import place_suites
from secura_bench.spec.sources import place_sources
from secura_bench.spec.types import as_list
from secura_bench.tasks.catalog import CATALOG, find_data_file, is_data_file

Checks = Mapping[str, Callable[[ExperimentSpec], None]]
NO_CHECKS: Checks = {}


def find_spec(name: str) -> Path:
    """Return the file that ``name`` means: a path, or the name of a shipped spec (``smoke``).

    Raises:
        SpecError: Neither; the message has the nearest shipped spec, and where the list of them is.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped_specs = {spec.stem: spec for spec in sorted(shipped("configs").glob("*.yaml"))}
    if name in shipped_specs:
        return shipped_specs[name]
    stem = path.stem if path.suffix == ".yaml" else name
    hint = did_you_mean(stem, shipped_specs) or nearest_path(path, (".yaml", ".yml"))
    raise SpecError(
        f"{name}: no such file, and no shipped spec of that name.{hint} `secura-bench ls configs` lists them."
    )


def load_specs(name: str, overrides: Sequence[str] = (), checks: Checks = NO_CHECKS) -> tuple[ExperimentSpec, ...]:
    """Read and check a spec: its keys, tasks, methods and their options. Nothing is run or written.

    What the spec ``extends`` is read first; ``overrides`` are ``"train.lr=1e-4"`` strings, which beat both. A
    ``matrix`` may make several specs out of one; a ``tune`` that chooses all its settings makes methods, and is gone.
    ``checks`` are made of each, and what they refuse is placed at their dotted keys.

    Raises:
        SpecError: Whatever is wrong, with file, line, key, value and what is allowed.
    """
    file = _read(find_spec(name))
    for override in overrides:
        file.override(override)
    specs = []
    for variant in variants_of(file):
        _add_data_files(variant)
        place_suites(variant)
        place_checkpoints(variant)
        place_sources(variant)
        spec = variant.validate_as(ExperimentSpec)
        check_names(spec, variant)
        check_tune(spec, variant)
        for key, check in checks.items():
            with located(variant, *key.split(".")):
                check(spec)
        specs.append(every_setting(spec) if spec.tune and spec.tune.choose == "frontier" else spec)
    return tuple(specs)


def load_spec(name: str, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """Return the one experiment of a spec, as ``load_specs`` does.

    Raises:
        SpecError: As there, or the spec's matrix makes several.
    """
    specs = load_specs(name, overrides)
    if len(specs) > 1:
        raise SpecError(f"{name}: its matrix makes {len(specs)} experiments, and one is wanted here.")
    return specs[0]


def load_run_spec(path: Path, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """Return the resolved spec in a run's folder, its tasks unchecked: they may have been files of another command.

    Raises:
        SpecError: Whatever else is wrong, as in ``load_specs``.
    """
    file = YamlFile.read(path)
    for override in overrides:
        file.override(override)
    spec = file.validate_as(ExperimentSpec)
    check_methods(spec, file)
    return spec


def _read(path: Path, extended_by: tuple[Path, ...] = ()) -> YamlFile:
    """Read a spec and lay it over what it extends: a path relative to it, or the name of a shipped spec."""
    file = YamlFile.read(path)
    if "extends" not in file.data:
        return file
    base, key = file.data.pop("extends"), ("extends",)
    if not isinstance(base, str):
        raise file.error(key, f"must be a file, or the name of a shipped spec (here: {quoted(base)}).")
    chain = (*extended_by, path.resolve())
    with located(file, *key):
        beside = path.parent / base
        found = beside if beside.is_file() else find_spec(base)
        if found.resolve() in chain:
            raise SpecError(f"{base} extends this file in turn; one of them must stand on its own.")
    del file.places[key]
    return file.over(_read(found, chain))


def _add_data_files(file: YamlFile) -> None:
    """Make tasks of the data files that ``tasks``, ``probe`` and ``tune`` name, and put their names in their place.

    A relative path starts at the spec's folder, then at the working directory.
    """
    tune = file.data.get("tune")
    for key, data in (("tasks", file.data), ("probe", file.data), ("on", tune if isinstance(tune, dict) else {})):
        given = data.get(key)
        names = list(as_list(given)) if isinstance(given, (str, list)) else []
        for index, name in enumerate(names):
            if isinstance(name, str) and is_data_file(name):
                with located(file, *(("tune", "on") if key == "on" else (key,))):
                    names[index] = CATALOG.add_file(find_data_file(name, file.path.parent))
        if names:
            data[key] = names[0] if isinstance(given, str) else names
