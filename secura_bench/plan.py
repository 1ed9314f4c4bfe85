"""What a spec stands for: the runs, what each is identified by, and the inputs that they share."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secura_bench.data import check
from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import TaskData, examples_hash, load_data, probe_examples
from secura_bench.data.example import Example
from secura_bench.data.ties import count_ties
from secura_bench.errors import SpecError
from secura_bench.evaluation.items import answerable
from secura_bench.evaluation.user_metrics import UserMetric, load_metric
from secura_bench.home import without_home
from secura_bench.methods.base import Method
from secura_bench.methods.build import build_method
from secura_bench.methods.stack import Stack
from secura_bench.models.config import memory_mark
from secura_bench.models.limits import refuse_what_overruns
from secura_bench.models.load import ModelFolder, find_model, load_tokenizer, model_label, shapes_of
from secura_bench.records import DataNote
from secura_bench.registry import METHODS
from secura_bench.spec import PROBE_ROWS, ExperimentSpec, MethodSpec, TrainSpec

NUMBERS = 5
"""Raised whenever a change of ours moves a number, so that older records are not taken for new ones."""


@dataclass(frozen=True)
class Inputs:
    """What all runs of a plan read and none changes.

    Attributes:
        tasks: every task that is trained or scored, by name. probe: the probe's examples by part.
        test: the test examples of each trained task, after ``evaluate.limit``.
        notes: what of each task was used, for records. metrics: the user's own, loaded.
    """

    model: ModelFolder
    chat: ChatFormat
    tasks: Mapping[str, TaskData]
    probe: Mapping[str, tuple[Example, ...]]
    test: Mapping[str, tuple[Example, ...]]
    notes: Mapping[str, DataNote]
    metrics: tuple[UserMetric, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A run as the spec alone tells it: a method on a sequence of tasks with a seed."""

    spec: ExperimentSpec
    method: MethodSpec
    train: TrainSpec
    tasks: tuple[str, ...]
    seed: int
    threads: int
    name: str

    def build(self) -> Method:
        """Return the run's method, fresh."""
        return build_method(self.method.name, **self.method.options)

    def resolved(self) -> dict[str, Any]:
        """Return the run as a spec of its own: what ``spec.yaml`` in its folder says."""
        spec = self.spec.model_dump(mode="json", exclude={"methods", "tasks", "orders", "seeds", "train", "threads"})
        entry = {"name": self.method.name, "label": self.method.label, **self.method.options}
        return {
            **spec,
            "model": without_home(self.spec.model),
            "tasks": list(self.tasks),
            "methods": [entry],
            "train": self.train.model_dump(mode="json"),
            "seeds": [self.seed],
            "threads": self.threads,
        }


@dataclass(frozen=True)
class Run(Draft):
    """One run. ``folder`` is relative to the results folder."""

    fingerprint: str

    @property
    def folder(self) -> Path:
        """Where the run lives below the results folder."""
        return Path(self.spec.experiment) / f"{self.name}-{self.fingerprint}"


@dataclass(frozen=True)
class Plan:
    """A spec's runs, the base model first, and their inputs."""

    spec: ExperimentSpec
    inputs: Inputs
    runs: tuple[Run, ...]


def threads_of(spec: ExperimentSpec) -> int:
    """Return how many threads each run of ``spec`` computes with on a CPU."""
    return spec.threads or os.cpu_count() or 1


def drafts(spec: ExperimentSpec) -> tuple[Draft, ...]:
    """List a spec's runs, the base model first; neither the model nor data has to be here."""
    model, threads = model_label(spec.model), threads_of(spec)
    base = MethodSpec(name="base", label="base")
    found = [Draft(spec, base, spec.train, spec.task_names, spec.seeds[0], threads, f"{model}-base")]
    for method in spec.methods:
        if method.name == "base":
            continue
        train = spec.train_of(method)
        for sequence, tasks in spec.sequences(method).items():
            for seed in spec.seeds:
                name = f"{model}-{method.label}-{sequence}-s{seed}"
                found.append(Draft(spec, method, train, tasks, seed, threads, name))
    return tuple(found)


def make_plan(spec: ExperimentSpec, allow_code: bool = False) -> Plan:
    """Read everything that the runs need but the model's weights, and list the runs. Nothing is written.

    Every method is tried on the model's shapes, so that an option that does not fit is refused here. ``allow_code``
    lets ``evaluate.metrics`` be loaded, which are code.

    Raises:
        BenchError: The model, a task or an option cannot be used.
    """
    (plan,) = make_plans([spec], allow_code)
    return plan


def make_plans(specs: Sequence[ExperimentSpec], allow_code: bool = False, *, fetch: bool = True) -> tuple[Plan, ...]:
    """Return a plan for every spec, as ``make_plan`` does; what they share is read once.

    ``fetch`` says whether what of a model is not on this machine is fetched from the Hub: no weights, in any case.
    """
    read: dict[str, Inputs] = {}
    plans = []
    for spec in specs:
        metrics = _load_metrics(spec, allow_code)
        shared = spec.model_dump(include={"model", "tasks", "probe", "probe_rows", "data"})
        key = json.dumps([shared, spec.evaluate.limit, spec.evaluate.metrics], sort_keys=True)
        if key not in read:
            read[key] = _read_inputs(spec, metrics, fetch)
        _check_protocols(spec, read[key])
        _try_methods(spec, read[key])
        plans.append(Plan(spec, read[key], tuple(_run(draft, read[key]) for draft in drafts(spec))))
    return tuple(plans)


def _run(draft: Draft, inputs: Inputs) -> Run:
    fingerprint = _fingerprint(draft.spec, inputs, draft.method, draft.train, draft.tasks, draft.seed, draft.threads)
    return Run(**vars(draft), fingerprint=fingerprint)


def _fingerprint(
    spec: ExperimentSpec,
    inputs: Inputs,
    method: MethodSpec,
    train: TrainSpec,
    tasks: tuple[str, ...],
    seed: int,
    threads: int,
) -> str:
    """Return ten hex digits over everything that changes a number of the run, and nothing else."""
    identity: dict[str, Any] = {
        "model": inputs.model.identity,
        "template": inputs.chat.template_hash,
        "tasks": [[task, inputs.notes[task].test_hash] for task in tasks],
        "probe": [[part, inputs.notes[part].probe_hash] for part in inputs.probe],
        "protocols": spec.evaluate.protocols,
        "scored": [
            [task, file.kind, file.answer, file.extract, file.max_new_tokens, *filter(None, [file.tokenize])]
            for task, file in ((name, inputs.tasks[name].file) for name in dict.fromkeys((*tasks, *spec.probe_parts)))
        ],
        "metrics": [[metric.name, metric.signature] for metric in inputs.metrics],
        "numbers": NUMBERS,
        **memory_mark(inputs.model.path),
        "context": spec.data.context,
        "limit": spec.evaluate.limit,
        "precision": train.precision,
        "batch": spec.evaluate.batch_size if train.precision != "fp32" else None,  # in bf16 ties may fall otherwise
        "threads": threads,
        "device": device_kind(),
    }
    if method.name != "base":  # the base run trains nothing: its scores are shared by all that score the same
        identity |= {
            "mode": spec.mode,
            "method": [method.name, resolved_options(method), _foreign_code(method)],
            "train": train.model_dump(mode="json"),
            "trained": [[task, inputs.notes[task].train_hash] for task in tasks],
            "evaluate": [spec.evaluate.every, spec.evaluate.tasks],
            "seed": seed,
        }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]


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


def _foreign_code(method: MethodSpec) -> str | list[str] | None:
    """Return a hash of the file that defines a method which is not ours: another text may be another method.

    Of a stack, the hashes of its parts that are not ours.
    """
    built = build_method(method.name, **method.options)
    if isinstance(built, Stack):
        return [code for part in built.parts if (code := _code_of(type(part)))] or None
    return _code_of(METHODS.get(method.name))


def _code_of(method: Any) -> str | None:
    if method.__module__.startswith("secura_bench.") or (file := inspect.getsourcefile(method)) is None:
        return None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _read_inputs(spec: ExperimentSpec, metrics: tuple[UserMetric, ...], fetch: bool) -> Inputs:
    model = find_model(spec.model, fetch="tokenizer" if fetch else "nothing")  # data first: weights come last
    chat = ChatFormat(load_tokenizer(model), spec.data.system, model.label)
    trained = spec.task_names
    shares = -(-(spec.probe_rows or PROBE_ROWS) // len(spec.probe_parts))
    tasks: dict[str, TaskData] = {}
    for name in dict.fromkeys((*trained, *spec.probe_parts)):
        # A generator makes as many rows as the probe wants, if that is more than a task has.
        wanted = max(spec.data.rows, shares) if name in spec.probe_parts and name not in trained else None
        tasks[name] = load_data(name, spec.data, chat, wanted)
    probe = probe_examples([tasks[part] for part in spec.probe_parts], spec.probe_rows, trained)
    test = {name: tasks[name].test[: spec.evaluate.limit] for name in trained}
    notes = {name: _note(data, probe.get(name), test.get(name)) for name, data in tasks.items()}
    return Inputs(model, chat, tasks, probe, test, notes, metrics)


def _load_metrics(spec: ExperimentSpec, allow_code: bool) -> tuple[UserMetric, ...]:
    if spec.evaluate.metrics and not allow_code:
        raise SpecError(
            f"evaluate.metrics: {', '.join(spec.evaluate.metrics)} is code that is not this program's; if you trust "
            f"it, say so: --allow-code."
        )
    return tuple(map(load_metric, spec.evaluate.metrics))


def _check_protocols(spec: ExperimentSpec, inputs: Inputs) -> None:
    """Refuse a protocol that can score nothing, and a task that no protocol scores."""
    rows = {name: (*inputs.test.get(name, ()), *inputs.probe.get(name, ())) for name in inputs.tasks}
    for protocol in spec.evaluate.protocols:
        if not any(answerable(protocol, inputs.tasks[name].file.kind, mine) for name, mine in rows.items()):
            wanted = {"choice": "rows with choices", "perplexity": "tasks of kind: text"}
            raise SpecError(
                f"evaluate.protocols: {protocol!r} can score none of {', '.join(rows)}: it is for "
                f"{wanted.get(protocol, 'prompts with answers')}."
            )
    for name, mine in rows.items():
        kind = inputs.tasks[name].file.kind
        if not any(answerable(protocol, kind, mine) for protocol in spec.evaluate.protocols):
            way = "'perplexity'" if kind == "text" else "'teacher_forced' or 'generate'"
            raise SpecError(f"task {name!r} is scored by none of evaluate.protocols; {way} can score it.")


def _note(data: TaskData, probe: tuple[Example, ...] | None, test: tuple[Example, ...] | None) -> DataNote:
    scored = test or ()
    trained = data.train if test is not None else ()
    return DataNote(
        source=data.origin.source,
        revision=data.origin.revision,
        licence=data.origin.licence,
        stand_in=data.origin.stand_in,
        train_rows=len(trained),
        test_rows=len(scored),
        train_hash=examples_hash(trained),
        test_hash=examples_hash(scored),
        too_long=data.counts.too_long + (data.spare_too_long if test is None else 0),
        found=data.counts.found,
        filtered=data.counts.filtered,
        cut_answers=data.counts.cut_answers,
        duplicates=data.counts.duplicates,
        met=data.counts.met,
        test_source=data.test_origin and data.test_origin.source,
        test_revision=data.test_origin and data.test_origin.revision,
        majority=check.majority(example.row for example in scored),
        chance=check.chance(example.row for example in scored),
        probe_rows=len(probe or ()),
        probe_hash=None if probe is None else examples_hash(probe),
        probe_majority=check.majority(example.row for example in probe or ()),
        probe_chance=check.chance(example.row for example in probe or ()),
        marked=data.counts.marked,
        respelled=data.counts.respelled,
        fewshot=data.counts.fewshot,
        groups=count_ties([example.row for example in scored]),
        probe_groups=count_ties([example.row for example in probe or ()]),
    )


def _try_methods(spec: ExperimentSpec, inputs: Inputs) -> None:
    """Attach every method to the model's shapes, on the meta device; what differs in training alone is tried once."""
    model = inputs.model
    steps = {draft.method.label: draft.train.steps * len(draft.tasks) for draft in drafts(spec)}
    tried: set[str] = set()
    for method in spec.methods:
        try:
            built = build_method(method.name, **method.options)
            built.check_steps(steps.get(method.label, 0))
            key = json.dumps([method.name, method.options], sort_keys=True)
            if key in tried:
                continue
            shapes = shapes_of(spec.model)
            if not tried:
                _check_limits(spec, inputs, shapes)
            tried.add(key)
            built.attach(shapes)
        except SpecError as error:
            raise SpecError(f"method {method.label!r} does not fit model {model.label!r}: {error}") from None


def _check_limits(spec: ExperimentSpec, inputs: Inputs, shapes: Any) -> None:
    """Refuse rows that the model's tables cannot look up."""
    longest = 0
    ids: set[int] = set()
    for name, data in inputs.tasks.items():
        scored = (*inputs.probe.get(name, ()), *inputs.test.get(name, ()))
        for example in (*scored, *(data.train if name in inputs.test else ())):
            ids.update(example.prompt_ids, example.answer_ids)
            if data.file.kind != "text":  # those are read in windows of the model's own size
                longest = max(longest, len(example))
        if "generate" in spec.evaluate.protocols:
            longest = max([longest, *(len(row.prompt_ids) + data.file.max_new_tokens for row in scored)])
    refuse_what_overruns(inputs.model.label, shapes, ids, inputs.chat.pad_id, longest)
