"""What a spec stands for and will take: its runs, what of them is done, parameters, memory, disk and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from secura_bench.estimates.device import EFFICIENCY, TOLERANCE, Device
from secura_bench.estimates.formulas import (
    Work,
    count_on_shape,
    disk_of,
    forward_flops,
    restricted,
    scoring_flops,
    training_flops,
    work_of,
)
from secura_bench.estimates.memory import Memory, Scoring, memory_of
from secura_bench.estimates.rows import Rows
from secura_bench.evaluation.vllm_engine import missing_engine
from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.parameters import ParameterCount
from secura_bench.methods.plugins import plugin_fault
from secura_bench.models.load import learn_shape, model_label, presets, shape_of, shapes_of
from secura_bench.models.quantised import missing_package
from secura_bench.models.shape import Shape
from secura_bench.plan.engine import refuse_on_engine
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.limits import refuse_on_shards
from secura_bench.plan.make import Plan, make_plans
from secura_bench.plan.run import PlannedRun, Run, planned_runs
from secura_bench.results.folder import RECORD, RunFolder
from secura_bench.results.lock import note_of, read_holder
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.sections import TrainSpec
from secura_bench.tasks.catalog import load_task
from secura_bench.training.kernels import missing_kernels
from secura_bench.training.optimizers import missing_extra

SAVINGS: tuple[dict[str, Any], ...] = (
    {"micro_batch_size": 1},
    {"gradient_checkpointing": True},
    {"precision": "bf16_stochastic"},
    {"optimizer": "adamw_8bit"},
    {"parameters": "targets"},
)
"""What saves memory, the least costly first; each is tried with those before it."""


@dataclass(frozen=True)
class MethodForecast:
    """One method's runs, and what one of them takes.

    Attributes:
        footprint: None where a method that is not ours fails to say it.
        runs, done, running: numbers of runs. ``memory`` and ``seconds`` are None where the model's layout is not known.
        seconds: of one run. left: bytes that a run leaves on disk; checkpoint: that it takes meanwhile.
        tasks: of one run. needs: a package that is not installed, if any.
        fault: what ended the estimate or the trial within a method that is not ours; what is unknown then counts none.
    """

    label: str
    footprint: Footprint | None
    train: TrainSpec
    runs: int
    done: int
    running: int
    count: ParameterCount
    work: Work
    memory: Memory | None
    seconds: float | None
    left: float
    checkpoint: float
    tasks: int
    needs: str | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Forecast:
    """A spec's plan, ready to be shown. ``unknown`` says why runs are counted by name instead of by fingerprint."""

    spec: ExperimentSpec
    model: str
    parameters: int | None
    access: str
    template: str | None
    rows: Rows
    methods: tuple[MethodForecast, ...]
    unknown: str | None
    tried: bool


def forecast(
    specs: Sequence[ExperimentSpec], results: Path, device: Device, trial_steps: int = 0, allow_code: bool = False
) -> tuple[Forecast, ...]:
    """Return what each of ``specs`` will take on ``device``; nothing is fetched, trained (but for a trial) or written.

    ``allow_code`` lets the tasks of lm-eval that are code be loaded.

    Raises:
        BenchError: An option does not fit the model, or a trial is asked for and the model or data is not here.
    """
    return tuple(_forecast(spec, results, device, trial_steps, allow_code) for spec in specs)


def _forecast(spec: ExperimentSpec, results: Path, device: Device, trial_steps: int, allow_code: bool) -> Forecast:
    waiting = spec.tune is not None  # for settings: it takes as long as with those that the spec has
    plan, unknown = _plan(spec.model_copy(update={"tune": None}), allow_code)
    if trial_steps and plan is None:
        raise DataError(f"--probe needs the model and the data on this machine: {unknown}")
    shape = _shape(spec.model)
    rows = Rows.of(spec, plan.inputs if plan else None, shape)
    new_tokens = max(load_task(name).max_new_tokens for name in (*spec.task_names, *spec.own_parts))
    at_once = max((load_task(name).first_tokens or 0 for name in spec.own_parts), default=0)
    scoring = replace(Scoring.of(spec, rows.longest, rows.predicted, new_tokens), at_once=at_once)
    runs: Sequence[PlannedRun] = plan.runs if plan else planned_runs(spec)
    refuse_on_engine(spec)
    for method in spec.methods:
        refuse_on_shards(spec, method)
    methods = []
    for label in dict.fromkeys(run.method.label for run in runs):
        own = [run for run in runs if run.method.label == label]
        done, running = (0, 0) if waiting and not own[0].method.is_base else _progress(own, results)
        estimate = _of_method(own[0], shape, rows, scoring, device)
        if trial_steps and plan and done < len(own):
            first = next(run for run in plan.runs if run.method.label == label)
            estimate = _measured(estimate, first, plan.inputs, trial_steps)
        methods.append(replace(estimate, runs=len(own), done=done, running=running))
    preset = presets().get(spec.model)
    return Forecast(
        spec=spec,
        model=model_label(spec.model) + spec.load.mark,
        parameters=shape.parameters if shape else None,
        access=preset.access if preset and unknown else "",
        template=preset.template if preset else None,
        rows=rows,
        methods=tuple(methods),
        unknown=unknown,
        tried=bool(trial_steps),
    )


def refuse_what_cannot_fit(specs: Sequence[ExperimentSpec], device: Device) -> None:
    """Stop before anything is loaded where a run needs far more memory than ``device`` has.

    A preset's shape is believed as long as it fits; before a model is refused, its own configuration is looked at.

    Raises:
        SpecError: Names the method, the memory, and what would fit.
    """
    for spec in specs:
        try:
            _refuse_what_cannot_fit(spec, device)
        except SpecError:
            if not learn_shape(spec.model):
                raise
            _refuse_what_cannot_fit(spec, device)


def _refuse_what_cannot_fit(spec: ExperimentSpec, device: Device) -> None:
    try:
        shape = _shape(spec.model)
    except DataError:  # it has to be fetched first, and then tells
        return
    if shape is None:
        return
    rows = Rows.of(spec, None, shape)
    scoring = Scoring.of(spec, rows.longest, rows.predicted, 0)
    for label, planned in {planned.method.label: planned for planned in planned_runs(spec)}.items():
        estimate = _of_method(planned, shape, rows, scoring, device)
        if estimate.needs:
            raise SpecError(estimate.needs)
        if estimate.memory and not fits(estimate.memory, device, TOLERANCE):
            needed = estimate.memory.on_cpu() if device.is_cpu else estimate.memory.device
            raise SpecError(
                f"method {label!r} on {spec.model} would need about {needed / 2**30:.0f} GiB, and "
                f"{device.memory / 2**30:.0f} GiB are free ({device.name}). {way_out(spec, estimate, device)}"
            )


def fits(memory: Memory, device: Device, tolerance: float = 1.0) -> bool:
    """Return whether a run of that ``memory`` fits ``device``, and what it holds elsewhere the CPU's memory."""
    if device.is_cpu:
        return memory.on_cpu() <= device.memory * tolerance
    return memory.device <= device.memory * tolerance and memory.host <= device.host * tolerance


def way_out(spec: ExperimentSpec, estimate: MethodForecast, device: Device) -> str:
    """Return which settings would fit ``device``, as one sentence."""
    shape, footprint = _shape(spec.model), estimate.footprint
    if shape is None or footprint is None:
        return ""
    rows = Rows.of(spec, None, shape)
    smaller = spec.model_copy(update={"evaluate": spec.evaluate.model_copy(update={"batch_size": 1})})
    count = count_on_shape(footprint, shape, lambda: shapes_of(spec.model))
    scoring = Scoring.of(smaller, rows.longest, rows.predicted, 0)
    known = [saving for saving in SAVINGS if shape.targets or "parameters" not in saving]
    for savings in accumulate(known, lambda before, more: before | more):
        train = estimate.train.model_copy(update=savings)
        counted = restricted(count, shape, train)
        on_gpu, load, processes = not device.is_cpu, spec.load, device.processes
        memory = memory_of(
            footprint, counted, shape, train, scoring, rows.answers, estimate.tasks, on_gpu, load, processes
        )
        if fits(memory, device):
            changed = {key: value for key, value in savings.items() if getattr(estimate.train, key) != value}
            settings = ", ".join(f"{key}: {str(value).lower()}" for key, value in changed.items())
            return f"It fits with train: {{{settings}}} and evaluate.batch_size: 1."
    return "No setting makes it fit; take a smaller model or a larger device."


def _plan(spec: ExperimentSpec, allow_code: bool) -> tuple[Plan | None, str | None]:
    """Return the plan with fingerprints, or why there is none: the model or data is not on this machine."""
    if spec.evaluate.metrics:
        return None, "evaluate.metrics are code, which a plan does not load."
    if not allow_code and any(suite.include_path for suite in spec.suites):
        return None, "the probe's include_path is code, which a plan loads with --allow-code alone."
    try:
        (plan,) = make_plans([spec], allow_code, fetch=False)
    except DataError as error:
        return None, str(error)
    return plan, None


def _shape(model: str) -> Shape | None:
    return shape_of(model)


def _of_method(
    planned: PlannedRun, shape: Shape | None, rows: Rows, scoring: Scoring, device: Device
) -> MethodForecast:
    """Return what one run takes; of a method that is not ours and fails at it, what is known until then."""
    method, train, spec = planned.build(), planned.train, planned.spec
    estimate = MethodForecast(
        label=planned.method.label,
        footprint=None,
        train=train,
        runs=0,
        done=0,
        running=0,
        count=ParameterCount(0, 0),
        work=Work(),
        memory=None,
        seconds=None,
        left=0,
        checkpoint=0,
        tasks=len(planned.tasks),
        needs=missing_package(spec.load)
        or missing_extra(train)
        or missing_kernels(train)
        or missing_engine(spec.evaluate),
    )
    try:
        footprint = method.footprint()
        estimate = replace(estimate, footprint=footprint)
        estimate = replace(estimate, work=_work(planned, footprint, rows))
        if shape is None:
            return replace(estimate, count=footprint.count_on_shapes(shapes_of(spec.model)))
        return _estimated(estimate, footprint, planned, shape, rows, scoring, device)
    except SpecError as error:
        raise SpecError(f"method {planned.method.label!r} does not fit model {spec.model!r}: {error}") from None
    except Exception as error:
        fault = plugin_fault(error)
        if fault is None:
            raise
        return replace(estimate, fault=fault)


def _work(planned: PlannedRun, footprint: Footprint, rows: Rows) -> Work:
    steps = planned.steps({name: round(reads.rows) for name, reads in rows.trained.items()})
    return work_of(planned.spec, footprint, planned.train, dict(zip(planned.tasks, steps, strict=True)), rows)


def _estimated(
    estimate: MethodForecast,
    footprint: Footprint,
    planned: PlannedRun,
    shape: Shape,
    rows: Rows,
    scoring: Scoring,
    device: Device,
) -> MethodForecast:
    """Return ``estimate`` with what follows from the model's shape."""
    train, work = estimate.train, estimate.work
    count = restricted(count_on_shape(footprint, shape, lambda: shapes_of(planned.spec.model)), shape, train)
    head = work.trained.positions / work.trained.tokens if work.steps else 0.0
    # Where nothing of the model is trained, nothing goes backwards through it.
    on_a_token = (
        training_flops(shape, train, count.trainable == count.total, footprint, head)
        if count.trainable
        else forward_flops(shape, 1, head)
    )
    flops = work.trained.tokens * on_a_token / device.processes + scoring_flops(shape, work.scored)
    flops += work.looked_at * forward_flops(shape, rows.tokens, rows.tokens)
    logits = footprint.logits_memory(rows.answers, shape.vocabulary)
    left, checkpoint = disk_of(planned.spec, count, train, work, footprint, shape, logits)
    on_gpu, load, processes = not device.is_cpu, planned.spec.load, device.processes
    memory = memory_of(footprint, count, shape, train, scoring, rows.answers, estimate.tasks, on_gpu, load, processes)
    seconds = flops / (device.speed(planned.threads) * EFFICIENCY)
    return replace(estimate, count=count, memory=memory, seconds=seconds, left=left, checkpoint=checkpoint)


def _measured(estimate: MethodForecast, run: Run, inputs: Inputs, steps: int) -> MethodForecast:
    """Return ``estimate`` with the time that a trial of ``steps`` steps took, scaled to the run."""
    from secura_bench.estimates.trial import Trial  # what trains takes seconds to import

    try:
        trial = Trial.of(run, inputs, steps)
    except Exception as error:
        fault = plugin_fault(error)
        if fault is None:
            raise
        return replace(estimate, seconds=None, fault=fault)
    if not estimate.work.scores:  # there is nothing to scale it by
        return estimate
    scored = estimate.work.scored
    tried = {name: reads.rows * trial.row[name] for name, reads in scored.items() if name in trial.row}
    # The harness's items are not tried: a token of theirs is taken to cost what others do.
    tokens = {name: reads.tokens for name, reads in scored.items()}
    scoring = sum(tried.values()) * sum(tokens.values()) / sum(tokens[name] for name in tried)
    return replace(estimate, seconds=estimate.work.steps * trial.step + scoring)


def _progress(runs: Sequence[PlannedRun], results: Path) -> tuple[int, int]:
    """Return how many of ``runs`` are done and how many another process is at work on."""
    done = running = 0
    for run in runs:
        if isinstance(run, Run):
            folders = [results / run.folder]
        else:
            folders = sorted((results / run.spec.experiment).glob(f"{run.name}-{'[0-9a-f]' * 10}"))
        done += any((folder / RECORD).is_file() for folder in folders)
        running += any(_is_held(RunFolder(folder)) for folder in folders)
    return done, running


def _is_held(folder: RunFolder) -> bool:
    holder = read_holder(note_of(folder))
    return holder is not None and holder.alive
