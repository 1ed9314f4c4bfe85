"""The published settings of each method and experiment: what every key of a run may be, to stand beside the paper.

Where the paper and its code are silent, a key is held against this bench's default, which is asked of the types
themselves: a key that is added to one is held from then on. The methods' types import torch, so that the paper's
tables do as well, and no other table.
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
from secura_bench.report.against.shapes import CONTINUAL, PEFT
from secura_bench.report.study.runs import trained
from secura_bench.results.record import RunRecord
from secura_bench.spec.sections import DataSpec, EvaluateSpec, TrainSpec
from secura_bench.tasks.catalog import expand

Allowed = Mapping[str, tuple[object, ...]]
"""What each key may be: first what the paper says, then what its code does otherwise."""

STEPS, BATCH, ROWS, TEST_FRACTION, PROBE, PROBE_ROWS = 2000, 1, 1000, 0.1, "f_task", 500
_EXP1_LR = {"lora": 1e-5, "dora": 1e-4, "cur_lora": 1e-4, "i_lora": 1e-3, "secura": 1e-3}
LEARNING_RATES = {"exp1": _EXP1_LR, "exp2": dict.fromkeys(PEFT, 1e-3), "exp3": dict.fromkeys(CONTINUAL, 1e-5)}
"""The published code's learning rates by experiment."""
TRAIN: Allowed = {"steps": (STEPS,), "batch_size": (BATCH,), "precision": ("bf16", "bf16_pure")}
"""How the paper trained. Its models are in bf16; its code holds what is trained in bf16 as well."""
CONTEXT = {"exp1": 800, "exp2": 600, "exp3": 600}
"""The published code's longest rows, in tokens."""
OPTIONS: Mapping[str, Allowed] = {
    "lora": {"r": (8,)},
    "dora": {"r": (8,)},
    "cur_lora": {"r": (150,)},
    "i_lora": {"r": (8,)},
    "cabr_lora": {"r": (150,), "m": (200,)},
    "secura": {"r": (150,), "m": (200,), "signorm": ("paper", "public_code"), "merge_dtype": ("core", "base")},
}
"""The published settings of the methods, where they have any."""
VARIED: Mapping[str, object] = {"fusion_step": 1, "merge": "m1"}
"""What ablations vary, as it is outside of them."""
METHODS_OF_THE_PAPER = frozenset({*PEFT, *CONTINUAL, *OPTIONS})
"""By registered name, which no plug-in can take: a label says nothing."""
SCORED_BESIDE = ("protocols", "every", "tasks", "metrics", "limit", "batch_size")
"""Keys of ``evaluate`` that add scores and change none; of ``limit``, which leaves rows out, the record speaks."""
TRAINED_ALIKE = ("gradient_checkpointing", "micro_batch_size")
"""Keys of ``train`` that say how a step is computed; the step is the same."""
KEPT_ALIKE = ("device",)
"""Options of methods that say where something is kept."""


def first(held: Allowed) -> dict[str, Any]:
    """Return the value of each key that the paper says, or where it is silent the default."""
    return {key: values[0] for key, values in held.items()}


_NOTHING = object()


@cache
def options_of(method: str) -> Allowed:
    """Return what each option of one of the paper's methods may be, outside of an ablation."""
    return {**_alone(_defaults_of(method)), **OPTIONS.get(method, {})}


@cache
def training_of(method: str, experiment: str) -> Allowed:
    """Return what each key of ``train`` may be; the learning rate of a method that the paper has not, whatever."""
    held = {**_alone(_defaults(TrainSpec)), **TRAIN}
    rate = LEARNING_RATES[experiment].get(method)
    if rate is None:
        return {key: values for key, values in held.items() if key != "lr"}
    return {**held, "lr": (rate,)}


@cache
def data_of(experiment: str) -> Allowed:
    """Return what each key of ``data`` may be."""
    published = {"rows": (ROWS,), "test_fraction": (TEST_FRACTION,), "context": (CONTEXT[experiment],)}
    return {**_alone(_defaults(DataSpec)), **published, "system": (None, SYSTEM)}


@cache
def scoring() -> Allowed:
    """Return what each key of ``evaluate`` may be that changes a score; ``precision`` is the base model's."""
    held = _alone(_defaults(EvaluateSpec))
    return {**{key: held[key] for key in held if key not in SCORED_BESIDE}, "precision": TRAIN["precision"]}


@cache
def probe_parts() -> tuple[str, ...]:
    """Return the tasks that the paper's probe is made of."""
    return expand(PROBE)


def complete(record: RunRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a run's options and training settings, a key that its record lacks as it is where nobody sets it.

    Keys that change no number are left out.
    """
    method = record.method
    options = {**_defaults_of(method["name"]), **method["options"]}
    train = {**_defaults(TrainSpec), **method["train"]}
    return _without(options, KEPT_ALIKE), _without(train, TRAINED_ALIKE)


def refused(record: RunRecord) -> str:
    """Return why a run's options or training settings are none of this version's; empty where they are."""
    method = record.method
    if not trained(record):
        return ""
    held = [("train", method["train"], TrainSpec, _defaults(TrainSpec))]
    if method["name"] in METHODS_OF_THE_PAPER:
        held.append(("options", method["options"], METHODS.get(method["name"]).Options, _defaults_of(method["name"])))
    for part, found, kind, defaults in held:
        # A record spells defaults out, and some of them are refused where somebody sets them to no effect.
        given = {key: value for key, value in found.items() if not _is(value, defaults.get(key, _NOTHING))}
        try:
            kind.model_validate(given)
        except ValidationError as error:
            key, said = explain(error.errors()[0], kind)
            return f"{'.'.join(map(str, (part, *key)))}: {said.partition('. ')[0].rstrip('.')}"
        except SpecError as error:
            return f"{part}: {error}"
    return ""


@cache
def _defaults(kind: type[BaseModel]) -> Mapping[str, Any]:
    return kind().model_dump(mode="json")


@cache
def _defaults_of(method: str) -> Mapping[str, Any]:
    """Return a method's options where none is set; nothing of a method that the paper has not."""
    return METHODS.get(method).Options().model_dump(mode="json") if method in METHODS_OF_THE_PAPER else {}


def _is(value: object, default: object) -> bool:
    """Return whether a value is the default: 0, which equals False, is no truth value."""
    return value == default and type(value) is type(default)


def _without(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def _alone(values: Mapping[str, object]) -> Allowed:
    return {key: (value,) for key, value in values.items()}
