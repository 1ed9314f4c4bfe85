"""What a spec stands for: the runs, what each is identified by, and the inputs that they share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.interpolation import refuse_without_between
from secura_bench.models.load import shapes_of
from secura_bench.plan.checkpoints import Loads, checkpoints_of
from secura_bench.plan.engine import refuse_on_engine, refuse_without_weights
from secura_bench.plan.fingerprint import fingerprint_of
from secura_bench.plan.inputs import Inputs, load_metrics, read_inputs, sources_of
from secura_bench.plan.limits import (
    check_limits,
    refuse_nothing_to_train,
    refuse_on_few_bits,
    refuse_on_shards,
    refuse_without_logits,
)
from secura_bench.plan.run import PlannedRun, Run, planned_runs
from secura_bench.plan.running import EXECUTE
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.sections import TrainSpec


@dataclass(frozen=True)
class Plan:
    """A spec's runs, the base model first, and their inputs."""

    spec: ExperimentSpec
    inputs: Inputs
    runs: tuple[Run, ...]

    def inputs_of(self, run: Run) -> Inputs:
        """Return what a run reads: what all do, but for one whose prompts are its checkpoint's own."""
        return (run.loads and run.loads.inputs) or self.inputs


def make_plan(spec: ExperimentSpec, allow_code: bool = False) -> Plan:
    """Read everything that the runs need, without the model's weights, and list the runs. Nothing is written.

    Every method is attached to the model's shapes. So an option that does not fit is refused here.
    ``allow_code`` allows to load ``evaluate.metrics``, and tasks of lm-eval that are code, and to run what is written.

    Raises:
        BenchError: The model, a task or an option cannot be used.
    """
    (plan,) = make_plans([spec], allow_code)
    return plan


def make_plans(specs: Sequence[ExperimentSpec], allow_code: bool = False, *, fetch: bool = True) -> tuple[Plan, ...]:
    """Return a plan for every spec, as ``make_plan`` does. What they share is read once.

    ``fetch`` allows to fetch a model's configuration and tokenizer from the Hub. Weights are never fetched here.
    """
    read: dict[str, Inputs] = {}
    plans = []
    for spec in specs:
        if spec.tune is not None:
            raise SpecError("tune: the settings are chosen of trials, which `secura-bench run` does before it plans.")
        refuse_on_engine(spec)
        metrics = load_metrics(spec, allow_code)
        shared = spec.model_dump(include={"model", "model_load", "tasks", "probe", "probe_rows", "data"})
        read_for = [spec.evaluate.limit, spec.evaluate.metrics, EXECUTE in spec.protocols, sources_of(spec)]
        key = json.dumps([shared, *read_for], sort_keys=True)
        if key not in read:
            read[key] = read_inputs(spec, metrics, fetch, allow_code)
        _check_protocols(spec, read[key])
        _try_methods(spec, read[key])
        loads = checkpoints_of(spec, read[key], partial(read_inputs, spec, metrics, fetch, allow_code))
        runs = tuple(_run(planned, read[key], loads.get(planned.method.label)) for planned in planned_runs(spec))
        plans.append(Plan(spec, read[key], runs))
    return tuple(plans)


def _run(planned: PlannedRun, inputs: Inputs, loads: Loads | None) -> Run:
    mine = (loads and loads.inputs) or inputs
    fingerprint = fingerprint_of(
        planned.spec, mine, planned.method, planned.train, planned.tasks, planned.seed, planned.threads, loads
    )
    return Run(**vars(planned), fingerprint=fingerprint, loads=loads)


def _check_protocols(spec: ExperimentSpec, inputs: Inputs) -> None:
    """Refuse a protocol that can score nothing, and a task that no protocol scores."""
    scored = dict.fromkeys((*inputs.test, *inputs.probe))  # what methods read beside is only trained on
    rows = {name: (*inputs.test.get(name, ()), *inputs.probe.get(name, ())) for name in scored}
    can = {
        name: [each.id for each in PROTOCOLS.values() if each.scorable(inputs.tasks[name].file.kind, mine)]
        for name, mine in rows.items()
    }
    for protocol in spec.protocols:
        if not any(protocol in able for able in can.values()):
            raise SpecError(
                f"evaluate.protocols: {protocol!r} can score none of {', '.join(rows)}: it is for "
                f"{PROTOCOLS[protocol].wants}."
            )
    for name, able in can.items():
        if not {*able} & {*spec.protocols}:
            way = " or ".join(map(repr, able))
            raise SpecError(f"task {name!r} is scored by none of evaluate.protocols; {way} can score it.")


def _try_methods(spec: ExperimentSpec, inputs: Inputs) -> None:
    """Attach every method to the model's shapes, on the meta device; what differs in training alone is tried once."""
    model = inputs.model
    rows = {name: len(inputs.tasks[name].train) for name in spec.task_names}
    steps: dict[str, set[int]] = {}
    trains: dict[str, list[TrainSpec]] = {}
    for planned in planned_runs(spec):
        steps.setdefault(planned.method.label, set()).add(sum(planned.steps(rows)))
        trains.setdefault(planned.method.label, []).append(planned.train)
    tried: set[str] = set()
    for method in spec.methods:
        try:
            built = build_method(method.name, **method.options)
            refuse_on_few_bits(spec, built)
            refuse_on_shards(spec, method)
            for train in trains.get(method.label, ()):
                refuse_without_logits(train, built)
            for length in sorted(steps.get(method.label, {0})):
                built.check_steps(length)
            key = json.dumps([method.name, method.options], sort_keys=True)
            if key in tried:
                continue
            shapes = shapes_of(spec.model)
            if not tried:
                check_limits(spec, inputs, inputs.model.label, shapes)
            tried.add(key)
            names = [name for name, _ in shapes.named_parameters()]
            attached = built.attach(shapes)
            refuse_nothing_to_train(built, attached, inputs)
            refuse_without_weights(spec, built, attached, names)
            if spec.evaluate.interpolate and not method.is_base:
                refuse_without_between(built, attached, names)
        except SpecError as error:
            raise SpecError(f"method {method.label!r} does not fit model {model.label!r}: {error}") from None
