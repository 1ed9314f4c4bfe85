"""An experiment as a typed, frozen value: what to run, on which model, and how it is scored."""

from __future__ import annotations

import copy
import math
import random
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, Strict, StringConstraints, field_validator, model_validator

from secura_bench.data.tasks import CATALOG, expand, find_data_file, is_data_file, load_task
from secura_bench.errors import SpecError, did_you_mean, quoted, unknown_name
from secura_bench.method_spec import MethodSpec
from secura_bench.registry import METHODS
from secura_bench.resources import shipped
from secura_bench.schema import Part, Slug
from secura_bench.yaml_file import KeyPath, Place, YamlFile


def _number(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        raise ValueError(f"must be a number (here: {quoted(value)})")
    return value


def as_list(value: Any) -> Any:
    """Let one value stand for a list of one."""
    return value if isinstance(value, (list, tuple)) else [value]


Count = Annotated[int, Strict(), Field(gt=0, le=10**12)]
Seed = Annotated[int, Strict(), Field(ge=0, lt=2**63)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_list), Field(min_length=1)]
Protocol = Literal["teacher_forced", "generate", "choice", "perplexity"]
UserMetricName = Annotated[str, StringConstraints(pattern=r"^evaluate:\S+$")]


Precision = Literal["fp32", "bf16", "bf16_pure", "bf16_stochastic"]
OptimizerName = Literal["adamw", "adamw_8bit", "adafactor"]


def _order(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"given|reversed|shuffle-\d{1,9}", value):
        return value
    if isinstance(value, (list, tuple)) and value and all(isinstance(task, str) for task in value):
        return tuple(value)
    raise ValueError(
        f"an order is given, reversed, shuffle-N, or a list of all tasks in that order (here: {quoted(value)})"
    )


Order = Annotated[Any, BeforeValidator(_order)]
"""An order of tasks: ``given`` as in the spec, ``reversed``, ``shuffle-N`` (N seeds it), or the tasks spelled out."""


class TrainSpec(Part):
    """How every task is trained. Defaults are the public code's, but for fp32 trained tensors.

    ``batch_size`` rows make one optimizer step; ``micro_batch_size`` of them go through the model at once (all, if
    unset), which changes memory and time, and the result only where there is dropout.

    ``precision``: ``fp32``; ``bf16`` holds frozen weights in bf16 and computes under bf16 autocast, trained tensors
    stay fp32; ``bf16_pure`` holds and updates everything in bf16, as the public code does, which loses small updates;
    ``bf16_stochastic`` holds everything in bf16 too, and rounds what an update changes up or down at random, so that
    nothing is lost on average. ``parameters: targets`` trains the query and value projections alone where a method
    would train everything. ``optimizer: adafactor`` and ``adamw_8bit`` need less memory (``betas`` are AdamW's).
    ``gradient_checkpointing`` computes activations twice instead of keeping them.
    """

    lr: Annotated[Number, Field(ge=0)] = 1e-3
    steps: Count = 2000
    batch_size: Count = 1
    micro_batch_size: Count | None = None
    sampling: Literal["replacement", "epochs"] = "replacement"
    weight_decay: Annotated[Number, Field(ge=0)] = 0.01
    betas: tuple[Annotated[Number, Field(ge=0, lt=1)], Annotated[Number, Field(ge=0, lt=1)]] = (0.9, 0.999)
    eps: Annotated[Number, Field(gt=0)] = 1e-8
    clip_norm: Annotated[Number, Field(gt=0)] | None = None
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: Annotated[int, Strict(), Field(ge=0)] = 0
    precision: Precision = "fp32"
    parameters: Literal["all", "targets"] = "all"
    optimizer: OptimizerName = "adamw"
    gradient_checkpointing: Annotated[bool, Strict()] = False
    reset_optimizer: Annotated[bool, Strict()] = False

    @model_validator(mode="after")
    def _rounds_by_itself(self) -> TrainSpec:
        if self.precision == "bf16_stochastic" and self.optimizer == "adafactor":
            raise ValueError("optimizer: adafactor cannot round stochastically; use adamw or adamw_8bit")
        return self


class EvaluateSpec(Part):
    """What is scored, when, and by which protocols.

    The probe is scored every ``every`` steps, and with the tasks at the end of each task. ``tasks``: ``current``
    scores the task just trained, ``seen`` all trained so far, ``all`` every task of the run. ``limit`` caps a
    task's test rows, and every table says so. Tasks of plain text are scored by ``perplexity`` and by nothing else,
    and ``choice`` leaves rows without choices out. ``metrics`` are of the ``evaluate`` package, ``evaluate:<id>`` or
    ``evaluate:<folder>``, and score what ``teacher_forced`` and ``generate`` wrote; they are code, and need
    ``--allow-code``.
    """

    protocols: Annotated[tuple[Protocol, ...], BeforeValidator(as_list), Field(min_length=1)] = ("teacher_forced",)
    every: Count | None = None
    tasks: Literal["current", "seen", "all"] = "seen"
    limit: Count | None = None
    batch_size: Count = 16
    metrics: Annotated[tuple[UserMetricName, ...], BeforeValidator(as_list)] = ()

    @field_validator("protocols", "metrics")
    @classmethod
    def _stand_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice} stands here twice")
        return names


class DataSpec(Part):
    """How rows are drawn and split; the same for all runs, so that methods and seeds meet the same test rows.

    ``context`` is the longest row in tokens: rows with a longer prompt are left out and counted, answers are cut.
    ``system`` replaces the bench's system message, and ``system: ""`` takes the system turn away (a template may then
    write one of its own); unset or null it is the bench's; a row's own system message goes before both.
    ``num_fewshot`` rows of a task's training side, the first of the seeded split and so the same before every prompt,
    stand as worked examples before each prompt that is scored, and are not scored themselves; before rows that are
    trained on stands nothing.
    """

    rows: Count = 1000
    context: Count = 600
    test_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    seed: Seed = 114514
    system: str | None = None
    num_fewshot: Annotated[int, Strict(), Field(ge=0)] = 0

    @field_validator("system")
    @classmethod
    def _is_text(cls, system: str | None) -> str | None:
        if system and any("\ud800" <= character <= "\udfff" for character in system):
            raise ValueError("holds half a character (a lone surrogate)")
        return system


class LogSpec(Part):
    """What ``log.jsonl`` holds beside a line a step.

    Every ``every`` steps the method's own figures (merge survival, median Res) join the line, and with
    ``gradient_norms`` the L2 norm of every trained matrix's gradient, mean over layers (the paper's Figure 2).
    ``weight_norms`` records the adapted weights' Frobenius norms before and after (Figure 3).
    """

    every: Count = 10
    gradient_norms: Annotated[bool, Strict()] = False
    weight_norms: Annotated[bool, Strict()] = False


class CheckpointSpec(Part):
    """How often an unfinished run saves its state within a task, beside each task's end: by steps, by time, or both.

    No part of a run's identity: a run that was stopped and resumed has the same numbers.
    """

    every_steps: Count | None = None
    every_minutes: Annotated[Number, Field(gt=0)] | None = 10.0


PROBE_ROWS = 500
"""Rows of a probe where ``probe_rows`` is not said and there are as many: the paper's number."""


class ExperimentSpec(Part):
    """One experiment: the cross of methods, seeds and, in mode ``separate``, tasks, in mode ``sequence``, orders.

    ``mode: sequence`` trains the tasks one after another in each run; ``separate`` trains each from a fresh base.
    ``model`` is a preset, a Hub id or a folder. ``probe`` (a task or a named list) measures knowledge that was there
    before; ``probe_rows`` are spread equally over its parts (unset: 500, or what a smaller probe has). ``keep`` says
    which trained results stay in the run's folder, to be exported: adapters, whole models too, or none. ``threads`` is
    the number of CPU threads a run uses (all cores if unset); it is part of a run's identity, since sums depend on it.
    """

    experiment: Slug
    mode: Literal["sequence", "separate"]
    model: Annotated[str, StringConstraints(min_length=1)]
    tasks: Names
    orders: Annotated[tuple[Order, ...], BeforeValidator(as_list), Field(min_length=1)] = ("given",)
    probe: Annotated[str, StringConstraints(min_length=1)] = "f_task"
    probe_rows: Count | None = None
    methods: Annotated[tuple[MethodSpec, ...], BeforeValidator(as_list), Field(min_length=1)]
    train: TrainSpec = TrainSpec()
    evaluate: EvaluateSpec = EvaluateSpec()
    data: DataSpec = DataSpec()
    log: LogSpec = LogSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()
    keep: Literal["adapters", "all", "nothing"] = "adapters"
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(as_list), Field(min_length=1)] = (114514,)
    threads: Count | None = None

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks, named lists spelled out."""
        return expand(self.tasks)

    @property
    def probe_parts(self) -> tuple[str, ...]:
        """The tasks that the probe is made of."""
        return expand(self.probe)

    def sequences(self, method: MethodSpec) -> dict[str, tuple[str, ...]]:
        """Return the task sequences that a method is run on, by the name that tells them apart."""
        if METHODS.get(method.name).stream == "mixed":
            return {_sequence_name(self.task_names): self.task_names}
        if self.mode == "separate":
            return {task: (task,) for task in self.task_names}
        return {_sequence_name(self.task_names, order): self.ordered(order) for order in self.orders}

    def ordered(self, order: str | tuple[str, ...]) -> tuple[str, ...]:
        """Return the tasks in ``order``."""
        if isinstance(order, tuple):
            return order
        tasks = list(self.task_names)
        if order == "reversed":
            tasks.reverse()
        elif order != "given":
            random.Random(order).shuffle(tasks)
        return tuple(tasks)

    def train_of(self, method: MethodSpec) -> TrainSpec:
        """Return ``train`` with the method's overrides."""
        return TrainSpec.model_validate({**self.train.model_dump(), **method.train})


def _sequence_name(tasks: Sequence[str], order: str | tuple[str, ...] = "given") -> str:
    """Return a name for a sequence of tasks, fit for a folder: ``16-tasks-reversed``."""
    name = tasks[0] if len(tasks) == 1 else f"{len(tasks)}-tasks"
    if isinstance(order, tuple):
        return f"{name}-order-{zlib.crc32(' '.join(order).encode()):08x}"
    return name if order == "given" else f"{name}-{order}"


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
    hint = did_you_mean(path.stem if path.suffix == ".yaml" else name, shipped_specs)
    raise SpecError(
        f"{name}: no such file, and no shipped spec of that name.{hint} `secura-bench ls configs` lists them."
    )


def load_specs(name: str, overrides: Sequence[str] = ()) -> tuple[ExperimentSpec, ...]:
    """Read and check a spec: its keys, tasks, methods and their options. Nothing is run or written.

    What the spec ``extends`` is read first; ``overrides`` are ``"train.lr=1e-4"`` strings, which beat both. A
    ``matrix`` may make several specs out of one.

    Raises:
        SpecError: Whatever is wrong, with file, line, key, value and what is allowed.
    """
    file = _read(find_spec(name))
    for override in overrides:
        file.override(override)
    specs = []
    for variant in _variants(file):
        _add_data_files(variant)
        spec = variant.validate_as(ExperimentSpec)
        _check_names(spec, variant)
        specs.append(spec)
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
    _check_methods(spec, file)
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
    with _located(file, *key):
        beside = path.parent / base
        found = beside if beside.is_file() else find_spec(base)
        if found.resolve() in chain:
            raise SpecError(f"{base} extends this file in turn; one of them must stand on its own.")
    del file.places[key]
    return file.over(_read(found, chain))


_MOST_VARIANTS = 1000
_ALREADY_LISTS = ("seeds", "orders", "methods")


def _variants(file: YamlFile) -> Iterator[YamlFile]:
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
        [(value, _spelled(value, position)) for position, value in enumerate(values)] for values in axes.values()
    ]
    for combination in product(*spelled):
        yield dict(zip(axes, combination, strict=True))


def _spelled(value: Any, position: int) -> str:
    """Return ``value`` as a name shows it; what no name can hold is called by its place in the list, from 1."""
    text = "-".join(map(str, value)).lower() if isinstance(value, list) else str(value).lower()
    return text if re.fullmatch(r"[a-z0-9._-]{1,24}", text) else str(position + 1)


def _multiply_methods(file: YamlFile, axes: Mapping[str, list[Any]]) -> None:
    """Put every combination of ``axes`` in the place of every method of the file, but of the base model."""
    entries = as_list(file.data.get("methods", []))
    multiplied: list[Any] = []
    file.data["methods"] = multiplied
    old = {key: place for key, place in file.places.items() if key[0] == "methods"}
    for index, entry in enumerate(entries):
        method = file.check(MethodSpec, entry, ("methods", index))
        for choice in _choices(axes) if method.name != "base" else [{}]:
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


def _add_data_files(file: YamlFile) -> None:
    """Make tasks of the data files that ``tasks`` and ``probe`` name, and put the tasks' names in their place.

    A relative path starts at the spec's folder, then at the working directory.
    """
    for key in ("tasks", "probe"):
        given = file.data.get(key)
        names = list(as_list(given)) if isinstance(given, (str, list)) else []
        for index, name in enumerate(names):
            if isinstance(name, str) and is_data_file(name):
                with _located(file, key):
                    names[index] = CATALOG.add_file(find_data_file(name, file.path.parent))
        if names:
            file.data[key] = names[0] if isinstance(given, str) else names


def _check_names(spec: ExperimentSpec, file: YamlFile) -> None:
    """Check what needs the registries: tasks, methods, options, overrides, and that runs can be told apart."""
    for key, names in (("tasks", spec.tasks), ("probe", spec.probe)):
        with _located(file, key):
            tasks = expand(names)
            for task in tasks:
                if load_task(task).kind == "text" and key == "tasks":
                    raise SpecError(f"{task!r} is plain text: it can be a probe, and is never trained on.")
            if len(set(tasks)) < len(tasks):
                raise SpecError("a task stands here twice.")
    with _located(file, "probe_rows"):
        if spec.probe_rows is not None and spec.probe_rows < len(spec.probe_parts):
            parts = ", ".join(spec.probe_parts)
            raise SpecError(
                f"{spec.probe_rows} leaves a part of the probe without a row; at least one each of {parts}."
            )
    with _located(file, "orders"):
        _check_orders(spec)
    _check_methods(spec, file)
    with _located(file, "seeds"):
        if len(set(spec.seeds)) < len(spec.seeds):
            raise SpecError("a seed stands here twice.")


def _check_methods(spec: ExperimentSpec, file: YamlFile) -> None:
    """Check the methods' names, options and overrides, and that they can be told apart."""
    for index, method in enumerate(spec.methods):
        with _located(file, "methods", index):
            options: type[BaseModel] = METHODS.get(method.name).Options
        file.check(options, method.options, ("methods", index))
        file.check(TrainSpec, {**spec.train.model_dump(), **method.train}, ("methods", index, "train"))
    with _located(file, "methods"):
        labels = [method.label for method in spec.methods]
        if len(set(labels)) < len(labels):
            raise SpecError("two entries have one label; set 'label:' on one of them.")


def _check_orders(spec: ExperimentSpec) -> None:
    if spec.mode == "separate" and spec.orders != ("given",):
        raise SpecError("mode: separate trains each task alone, so there is no order.")
    ordered = [spec.ordered(order) for order in spec.orders]
    for tasks in ordered:
        if sorted(tasks) != sorted(spec.task_names):
            raise SpecError(f"{', '.join(tasks)}: must be all tasks, each once: {', '.join(spec.task_names)}.")
    if len(set(ordered)) < len(ordered):
        raise SpecError("two orders come to the same sequence of tasks.")


@contextmanager
def _located(file: YamlFile, *key: str | int) -> Iterator[None]:
    """Name the file, line and key in an error that knows none."""
    try:
        yield
    except SpecError as error:
        raise file.error(key, str(error)) from None
