"""What identifies a run: whatever changes one of its numbers."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secura_bench.data.dataset import examples_hash
from secura_bench.evaluation.named_metrics import named_by
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.methods.stack import Stack
from secura_bench.models.config import memory_mark
from secura_bench.plan.checkpoints import Loads
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.running import run_mark
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.sections import TrainSpec
from secura_bench.tasks.file import TaskFile

RESULTS_VERSION = 5
"""Raised whenever a change of ours moves a number, so that older records are not taken for new ones."""


def fingerprint_of(
    spec: ExperimentSpec,
    inputs: Inputs,
    method: MethodSpec,
    train: TrainSpec,
    tasks: tuple[str, ...],
    seed: int,
    threads: int,
    loads: Loads | None = None,
) -> str:
    """Return ten hex digits over everything that changes a number of the run, and nothing else.

    Of a run that loads checkpoints that is the content of their files, and not where they lie.
    """
    identity: dict[str, Any] = {
        "model": inputs.model.identity,
        "template": inputs.chat.template_hash,
        "tasks": [[task, inputs.notes[task].test_hash] for task in tasks],
        "probe": [[part, inputs.notes[part].probe_hash] for part in inputs.probe],
        "protocols": spec.protocols,
        "scored": [
            [task, file.kind, file.answer, file.extract, file.max_new_tokens, *_counted(file, spec.protocols)]
            for task, file in ((name, inputs.tasks[name].file) for name in dict.fromkeys((*tasks, *spec.probe_parts)))
        ],
        "metrics": [[metric.name, metric.signature] for metric in inputs.metrics],
        "numbers": RESULTS_VERSION,
        **memory_mark(inputs.model.path),
        "context": spec.data.context,
        "limit": spec.evaluate.limit,
        "precision": train.precision,
        "batch": spec.evaluate.batch_size if train.precision != "fp32" else None,  # in bf16 ties may fall otherwise
        "threads": threads,
        "device": device_kind(),
        **run_mark(inputs.why_not),
        **load_mark(spec, train),
        **engine_mark(spec),
    }
    if inputs.classes and method.is_base:
        identity["heads"] = seed  # which draws the untrained ones
    if loads is not None:
        identity |= {
            "mode": spec.mode,
            "method": [method.name, loads.options.template, loads.identity(tasks)],
            "evaluate": spec.evaluate.tasks,
        }
    elif not method.is_base:  # the base run trains nothing: its scores are shared by all that score the same
        identity |= {
            "mode": spec.mode,
            "method": [method.name, resolved_options(method), foreign_code(method)],
            "train": train.model_dump(mode="json", exclude={"offload"}),  # which moves no number
            "trained": [[task, inputs.notes[task].train_hash] for task in tasks],
            "evaluate": [spec.evaluate.every, spec.evaluate.tasks, *["last"] * (spec.evaluate.probe == "last")],
            "seed": seed,
        }
        if sources := build_method(method.name, **method.options).sources:
            identity["sources"] = [[name, examples_hash(inputs.sources[name])] for name in sources]
        if spec.evaluate.interpolate:
            identity["interpolate"] = spec.evaluate.interpolate
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]


def load_mark(spec: ExperimentSpec, train: TrainSpec) -> dict[str, Any]:
    """Return what sets the numbers of a model that is loaded otherwise apart."""
    told = spec.load.told(train.precision)
    return {"load": told} if told else {}


def engine_mark(spec: ExperimentSpec) -> dict[str, Any]:
    """Return what sets texts apart that another engine wrote than the bench's own."""
    return {} if spec.evaluate.engine == "transformers" else {"engine": spec.evaluate.engine}


def _counted(file: TaskFile, protocols: Sequence[str]) -> list[str]:
    """Return by which tokenizer and by which metrics of its own a task is scored, where it says so."""
    own = file.metric[:1] if "own_metric" in protocols else ()
    return [*filter(None, [file.tokenize]), *named_by(file), *own]


def device_kind() -> str:
    """Return the kind of device that this process computes on: ``cuda`` or ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def resolved_options(method: MethodSpec) -> Any:
    """Return a method's options with its defaults spelled out, a stack's part by part."""
    built = build_method(method.name, **method.options)
    if isinstance(built, Stack):
        return [[part.name, part.options.model_dump(mode="json")] for part in built.parts]
    return built.options.model_dump(mode="json")


def foreign_code(method: MethodSpec) -> str | list[str] | None:
    """Return ``code_of`` the method that a spec names."""
    return code_of(build_method(method.name, **method.options))


def code_of(method: Method) -> str | list[str] | None:
    """Return a hash of the file that defines a method which is not ours: another text may be another method.

    Of a stack, the hashes of its parts that are not ours.
    """
    if isinstance(method, Stack):
        return [code for part in method.parts if (code := _file_of(type(part)))] or None
    return _file_of(type(method))


def _file_of(method: type[Method]) -> str | None:
    if method.__module__.startswith("secura_bench.") or (file := inspect.getsourcefile(method)) is None:
        return None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
