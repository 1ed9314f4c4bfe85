"""A spec's matrix: one file that stands for several experiments."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from secura_bench.foundation.errors import SpecError, quoted, unknown_name
from secura_bench.foundation.yaml_file import KeyPath, Place, YamlFile
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.types import as_list

_MOST_VARIANTS = 1000
_ALREADY_LISTS = ("seeds", "orders", "methods")


def variants_of(file: YamlFile) -> Iterator[YamlFile]:
    """Yield the specs that a matrix makes of one; without a matrix, the spec itself.

    ``train.KEY`` and ``methods.OPTION`` multiply the methods (but base), whose labels get the value; ``model`` makes a
    spec a model; any other key makes specs whose experiments' names get the value.
    """
    matrix = file.data.pop("matrix", None)
    if matrix is None:
        yield file
        return
    if not isinstance(matrix, dict):
        raise file.error(("matrix",), f"must be a mapping of dotted keys to lists (here: {quoted(matrix)}).")
    for key, values in matrix.items():
        _check_axis(file, key, values)
    if math.prod(map(len, matrix.values())) > _MOST_VARIANTS:
        raise file.error(("matrix",), f"makes more than {_MOST_VARIANTS} variants.")
    of_methods = {key: values for key, values in matrix.items() if key.startswith(("train.", "methods."))}
    of_specs = {key: values for key, values in matrix.items() if key not in of_methods}
    for choice in _choices(of_specs):
        variant = YamlFile(file.path, copy.deepcopy(file.data), dict(file.places), dict(file.overridden))
        for key, (value, name) in choice.items():
            place = file.place(("matrix", key))
            _put(variant, tuple(key.split(".")), value, place)
            if key != "model" and isinstance(experiment := variant.data.get("experiment"), str):
                variant.data["experiment"] = f"{experiment}-{key.rpartition('.')[2]}-{name}"
        if of_methods:
            _multiply_methods(variant, of_methods)
        yield variant


def _check_axis(file: YamlFile, key: str, values: Any) -> None:
    if not isinstance(values, list) or not values:
        raise file.error(("matrix", key), f"must be a list of values (here: {quoted(values)}).")
    if any(value in values[:index] for index, value in enumerate(values)):
        raise file.error(("matrix", key), "a value stands here twice.")
    first, *rest = key.split(".")
    if first in _ALREADY_LISTS and not (first == "methods" and len(rest) == 1):
        hint = "; an option of every method is methods.OPTION" if first == "methods" else ""
        raise file.error(("matrix", key), f"{first!r} is a list by itself: write the values there{hint}.")
    if first not in ExperimentSpec.model_fields or first == "experiment" or "" in rest:
        known = [name for name in ExperimentSpec.model_fields if name not in ("experiment", *_ALREADY_LISTS)]
        raise file.error(("matrix", key), unknown_name("key", key, [*known, "train.KEY", "methods.OPTION"]))


def _choices(axes: Mapping[str, list[Any]]) -> Iterator[dict[str, tuple[Any, str]]]:
    """Yield every combination: by key, a value and how it is spelled in a name."""
    spelled = [
        [(value, in_a_name(value, position)) for position, value in enumerate(values)] for values in axes.values()
    ]
    for combination in product(*spelled):
        yield dict(zip(axes, combination, strict=True))


def in_a_name(value: Any, position: int) -> str:
    """Return ``value`` as a name shows it; what no name can hold is called by its place in the list, from 1."""
    text = "-".join(map(str, value)).lower() if isinstance(value, list) else str(value).lower()
    return text if re.fullmatch(r"[a-z0-9._-]{1,24}", text) else str(position + 1)


def _multiply_methods(file: YamlFile, axes: Mapping[str, list[Any]]) -> None:
    """Put every combination of ``axes`` in the place of every method of the file that is trained here."""
    entries = as_list(file.data.get("methods", []))
    multiplied: list[Any] = []
    file.data["methods"] = multiplied
    old = {key: place for key, place in file.places.items() if key[0] == "methods"}
    for index, entry in enumerate(entries):
        method = file.check(MethodSpec, entry, ("methods", index))
        for choice in [{}] if method.is_base or method.is_checkpoint else _choices(axes):
            new = len(multiplied)
            for key, place in old.items():
                if key[1:2] == (index,):
                    file.places[("methods", new, *key[2:])] = place
            multiplied.append(copy.deepcopy(entry) if isinstance(entry, dict) else {"name": entry})
            label = method.label
            for axis, (value, name) in choice.items():
                first, option = axis.split(".", 1)
                inner: KeyPath = ("train", *option.split(".")) if first == "train" else (option,)
                _put(file, ("methods", new, *inner), value, file.place(("matrix", axis)))
                label = f"{label}-{option}-{name}"
            if choice:
                _put(file, ("methods", new, "label"), label[:80], file.place(("methods", index)))


def _put(file: YamlFile, key: KeyPath, value: Any, place: Place) -> None:
    """Set ``key`` of the file to ``value``, which stands at ``place``."""
    data: Any = file.data
    for part in key[:-1]:
        data = data[part] if isinstance(part, int) else data.setdefault(part, {})
        if not isinstance(data, (dict, list)):
            raise SpecError(f"{place}: {part!r} holds no keys.")
    data[key[-1]] = value
    file.places[key] = place
