"""`secura-bench plan` and `validate`: what a spec says, before anything is done."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secura_bench.cli.options import NO_FILES, NONE, Includes, Plugins, Set, include_tasks, load_plugins

if TYPE_CHECKING:
    from secura_bench.estimates.forecast import Forecast

LoadCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Let tasks of lm-eval of an include_path, which are code, be loaded, and languages of execute be tried.",
    ),
]


def plan(
    spec: Annotated[str, typer.Argument(help="A YAML spec, or the name of a shipped one, such as smoke.")],
    results: Annotated[Path, typer.Option(help="Where finished runs are looked for.")] = Path("results"),
    probe: Annotated[
        int, typer.Option(metavar="STEPS", min=0, help="Measure so many steps of each method on this machine.")
    ] = 0,
    overrides: Set = NONE,
    plugins: Plugins = NO_FILES,
    includes: Includes = NO_FILES,
    allow_code: LoadCode = False,
    gpus_per_run: Annotated[
        int, typer.Option(metavar="N", min=0, help="GPUs that do a run together; unset, what torchrun says, or one.")
    ] = 0,
    power: Annotated[
        bool, typer.Option("--power", help="Say what differences the plan would tell, by records of the same methods.")
    ] = False,
    difference: Annotated[
        float, typer.Option(metavar="POINTS", help="With --power: of what difference to say which seeds and rows tell.")
    ] = 2.0,
) -> None:
    """Show what a spec stands for and takes: runs, parameters, memory, disk, time. Works offline and writes nothing."""
    from secura_bench.foundation.errors import BenchError
    from secura_bench.spec.load import load_specs

    if not 0 < difference < 100:
        raise BenchError(f"--difference {difference:g}: must be above 0 and below 100.")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything reads it
    load_plugins(plugins)
    include_tasks(includes)
    loaded = load_specs(spec, overrides)
    from secura_bench.estimates.device import this_device
    from secura_bench.estimates.forecast import forecast
    from secura_bench.estimates.text import plan_text
    from secura_bench.estimates.tuning import stages, tuning_text

    device = this_device()
    if gpus_per_run:
        device = replace(device, processes=gpus_per_run)
    forecasts = forecast([*stages(loaded, results, allow_code)], results, device, probe, allow_code)
    for line in (*plan_text(forecasts, device), *tuning_text(loaded, forecasts)):
        typer.echo(line)
    if power:
        names = {spec.experiment for spec in loaded}
        _show_power([each for each in forecasts if each.spec.experiment in names], results, difference)


def _show_power(forecasts: list[Forecast], results: Path, points: float) -> None:
    """Print what each forecast's seeds and rows would tell, by the records below ``results``."""
    from secura_bench.cli.report import tell
    from secura_bench.report.comparing.planned import foresee
    from secura_bench.report.comparing.show_planned import power_text
    from secura_bench.report.study.group import make_studies
    from secura_bench.report.study.read import read_runs

    runs, problems = read_runs([results] if results.exists() else [])
    tell(problems)
    studies = make_studies(runs)
    for each in forecasts:
        rows = {each.spec.probe_name: each.rows.probing, **each.rows.testing} if each.rows.exact else {}
        counts = {name: {protocol: round(reads.rows) for protocol, reads in by.items()} for name, by in rows.items()}
        found, without = foresee(each.spec, each.model, studies, counts, points)
        typer.echo()
        for line in power_text(found, without, each.model, points, f"{results}/"):
            typer.echo(line)


def validate(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="YAML specs, or names of shipped ones.")],
    overrides: Set = NONE,
    plugins: Plugins = NO_FILES,
    includes: Includes = NO_FILES,
    allow_code: LoadCode = False,
) -> None:
    """Check specs: keys, values, tasks, methods, options; that model and metrics are there. Loads lm-eval's tasks."""
    from secura_bench.checkpoints.find import check_checkpoint
    from secura_bench.estimates.tuning import added
    from secura_bench.evaluation.metric_there import check_metric
    from secura_bench.foundation.errors import SpecError
    from secura_bench.foundation.wording import counted
    from secura_bench.harness.load import check_installed, load
    from secura_bench.methods.build import build_method
    from secura_bench.models.load import model_label
    from secura_bench.models.quantised import missing_package
    from secura_bench.plan.engine import refuse_on_engine
    from secura_bench.plan.limits import refuse_on_few_bits, refuse_on_shards, refuse_without_logits
    from secura_bench.plan.run import planned_runs
    from secura_bench.spec.experiment import ExperimentSpec
    from secura_bench.spec.load import load_specs
    from secura_bench.spec.sections import TrainSpec

    def model(spec: ExperimentSpec) -> None:
        model_label(spec.model)

    def metrics(spec: ExperimentSpec) -> None:
        for metric in spec.evaluate.metrics:
            check_metric(metric)

    def suites(spec: ExperimentSpec) -> None:
        for suite in spec.suites:
            check_installed(suite)
            if suite.include_path is None or allow_code:
                load(suite, allow_code)
            else:
                typer.echo(f"{suite.part}: not loaded, for include_path is code; --allow-code loads it", err=True)

    def few_bits(spec: ExperimentSpec) -> None:
        if missing := missing_package(spec.load):
            raise SpecError(missing)
        for method in spec.methods:
            refuse_on_few_bits(spec, build_method(method.name, **method.options))

    def shards(spec: ExperimentSpec) -> None:
        for method in spec.methods:
            refuse_on_shards(spec, method)

    def kernels(spec: ExperimentSpec) -> None:
        for method in spec.methods:
            train = TrainSpec.model_validate(spec.train.over(method.train))
            refuse_without_logits(train, build_method(method.name, **method.options))

    def checkpoints(spec: ExperimentSpec) -> None:
        for method in spec.methods:
            if method.is_checkpoint:
                named = (method.options.get("path"), *(method.options.get("after") or {}).values())
                for path in filter(None, named):
                    check_checkpoint(path)

    load_plugins(plugins)
    include_tasks(includes)
    for name in specs:
        checks = {
            "model": model,
            "model_load": few_bits,
            "train.shard": shards,
            "train.kernels": kernels,
            "evaluate.engine": refuse_on_engine,
            "evaluate.metrics": metrics,
            "probe": suites,
            "methods": checkpoints,
        }
        for spec in load_specs(name, overrides, checks):
            runs, methods = counted(len(planned_runs(spec)), "run"), counted(len(spec.methods), "method")
            tasks = counted(len(spec.task_names), "task") + ", and before them " * bool(spec.tune) + added(spec)
            typer.echo(f"{name}: valid; {spec.experiment} on {spec.model}: {runs} of {methods} on {tasks}")
