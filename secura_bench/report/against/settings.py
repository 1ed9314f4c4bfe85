"""The published settings of each method and experiment: what every key of a run may be, to stand beside a publication.

Where a publication is silent, a key is held against this bench's default, which is asked of the types themselves: a key
that is added to one is held from then on. The methods' types import torch, so that the published tables do as well, and
no other table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from secura_bench.data.turns.conversation import SYSTEM
from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.yaml_file import explain
from secura_bench.publications.file import Held, train_value
from secura_bench.publications.publication import Publication
from secura_bench.report.study.runs import trained
from secura_bench.results.record import RunRecord
from secura_bench.spec.sections import DataSpec, EvaluateSpec, TrainSpec
from secura_bench.tasks.catalog import task_lists

Allowed = Mapping[str, tuple[object, ...]]
"""What each key may be: first what the paper says, then what its code does otherwise."""

SCORED_BESIDE = ("protocols", "every", "tasks", "metrics", "limit", "batch_size", "engine")
"""Keys of ``evaluate`` that add scores and change none; of ``limit`` and ``engine``, which may, the record speaks."""
TRAINED_ALIKE = ("gradient_checkpointing", "micro_batch_size", "kernels", "offload", "shard")
"""Keys of ``train`` that say how a step is computed; the step is the same."""
KEPT_ALIKE = ("device",)
"""Options of methods that say where something is kept."""


def first(held: Allowed) -> dict[str, Any]:
    """Return the value of each key that the paper says, or where it is silent the default."""
    return {key: values[0] for key, values in held.items()}


_NOTHING = object()


def row_of(publication: Publication, record: RunRecord) -> str:
    """Return which of a publication's methods a run is of; empty where it is of none.

    By registered name, which no plug-in can take, and the options that tell two of one name apart, and by no label.
    """
    name, options = record.method["name"], record.method["options"]
    for row, of in publication.file.methods.items():
        if (of.method or row) == name and all(options.get(key) == value for key, value in of.where.items()):
            return row
    return ""


@cache
def options_of(publication: Publication, row: str) -> Allowed:
    """Return what each option of one of a publication's methods may be, outside of an ablation."""
    of = publication.file.methods[row]
    return {**_alone(_defaults_of(of.method or row, **of.where)), **allowed({**of.where, **of.options})}


@cache
def training_of(publication: Publication, row: str, experiment: str) -> Allowed:
    """Return what each key of ``train`` may be; the learning rate where none is published, whatever."""
    file, of = publication.file, publication.file.experiments[experiment]
    methods = [each[row].train for each in (file.methods, of.methods) if row in each]
    said = allowed({key: value for held in (file.train, of.train, *methods) for key, value in held.items()})
    said = {key: tuple(train_value(key, value, of.sequence) for value in values) for key, values in said.items()}
    held = {**_alone(_defaults(TrainSpec)), **said}
    return held if "lr" in said else {key: values for key, values in held.items() if key != "lr"}


@cache
def data_of(publication: Publication, experiment: str) -> Allowed:
    """Return what each key of ``data`` may be."""
    said = allowed({**publication.file.data, **publication.file.experiments[experiment].data})
    return {**_alone(_defaults(DataSpec)), "system": (None, SYSTEM), **said}


@cache
def scoring(publication: Publication, experiment: str) -> Allowed:
    """Return what each key of ``evaluate`` may be that changes a score; ``precision`` is the base model's."""
    held = {**_alone(_defaults(EvaluateSpec)), **allowed(publication.file.experiments[experiment].evaluate)}
    precision = training_of(publication, "", experiment)["precision"]
    return {**{key: held[key] for key in held if key not in SCORED_BESIDE}, "precision": precision}


def probe_parts(probe: str) -> tuple[str, ...]:
    """Return the tasks that a probe is made of; a name that no list has is a task, known here or not."""
    return task_lists().get(probe, (probe,))


def complete(publication: Publication, record: RunRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a run's options and training settings, a key that its record lacks as it is where nobody sets it.

    Keys that change no number are left out.
    """
    method = record.method
    options = {**_own_defaults(publication, record), **method["options"]}
    train = {**_defaults(TrainSpec), **method["train"]}
    return _without(options, KEPT_ALIKE), _without(train, TRAINED_ALIKE)


def refused(publication: Publication, record: RunRecord) -> str:
    """Return why a run's options or training settings are none of this version's; empty where they are."""
    method = record.method
    if not trained(record):
        return ""
    held = [("train", method["train"], TrainSpec, _defaults(TrainSpec))]
    defaults = _own_defaults(publication, record)
    if row_of(publication, record):
        held.append(("options", method["options"], METHODS.get(method["name"]).Options, defaults))
    for part, found, kind, default in held:
        # A record spells defaults out, and some of them are refused where somebody sets them to no effect.
        given = {key: value for key, value in found.items() if not _is(value, default.get(key, _NOTHING))}
        given |= {key: found[key] for key, field in kind.model_fields.items() if field.is_required() and key in found}
        try:
            kind.model_validate(given)
        except ValidationError as error:
            key, said = explain(error.errors()[0], kind)
            return f"{'.'.join(map(str, (part, *key)))}: {said.partition('. ')[0].rstrip('.')}"
        except SpecError as error:
            return f"{part}: {error}"
    return ""


def allowed(held: Held) -> Allowed:
    """Return what each key may be: one value, or those of ``{either: [A, B]}``."""
    return {
        key: tuple(value["either"]) if isinstance(value, dict) and value.keys() == {"either"} else (value,)
        for key, value in held.items()
    }


def resolved(held: Allowed, found: Mapping[str, object]) -> Allowed:
    """Return what each key may be in a run where one that is held ``{same_as: KEY}`` has what that key has."""

    def value_of(value: object) -> object:
        tied = isinstance(value, dict) and value.keys() == {"same_as"}
        return found.get(value["same_as"]) if tied and isinstance(value, dict) else value

    return {key: tuple(map(value_of, values)) for key, values in held.items()}


@cache
def _defaults(kind: type[BaseModel]) -> Mapping[str, Any]:
    """Return every key of a section as it is where nobody sets it, those that are left out unset as well."""
    unset = {key: field.default for key, field in kind.model_fields.items()}
    return {**unset, **kind().model_dump(mode="json")}


def _own_defaults(publication: Publication, record: RunRecord) -> Mapping[str, Any]:
    """Return a run's options where none is set; nothing of a method that the publication has not."""
    row = row_of(publication, record)
    return _defaults_of(record.method["name"], **publication.file.methods[row].where) if row else {}


@cache
def _defaults_of(method: str, **where: Any) -> Mapping[str, Any]:
    """Return a method's options where only those are set that tell it apart; they need be no whole that could run."""
    return METHODS.get(method).Options.model_construct(**where).model_dump(mode="json")


def _is(value: object, default: object) -> bool:
    """Return whether a value is the default: 0, which equals False, is no truth value."""
    return value == default and type(value) is type(default)


def _without(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def _alone(values: Mapping[str, object]) -> Allowed:
    return {key: (value,) for key, value in values.items()}
