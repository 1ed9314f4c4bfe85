"""`secura-bench plan` and `validate`: what a spec says, before anything is done."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from secura_bench.cli.options import NO_FILES, NONE, Includes, Plugins, Set, include_tasks, load_plugins

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
) -> None:
    """Show what a spec stands for and takes: runs, parameters, memory, disk, time. Works offline and writes nothing."""
    from secura_bench.spec.load import load_specs

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
    from secura_bench.harness.load import check_installed, load
    from secura_bench.methods.build import build_method
    from secura_bench.models.load import model_label
    from secura_bench.models.quantised import missing_package
    from secura_bench.plan.limits import refuse_on_few_bits, refuse_on_shards
    from secura_bench.plan.run import planned_runs
    from secura_bench.spec.experiment import ExperimentSpec
    from secura_bench.spec.load import load_specs

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
            "train": shards,
            "evaluate.metrics": metrics,
            "probe": suites,
            "methods": checkpoints,
        }
        for spec in load_specs(name, overrides, checks):
            runs = len(planned_runs(spec))
            typer.echo(
                f"{name}: valid; {spec.experiment} on {spec.model}: {runs} runs of {len(spec.methods)} methods on "
                f"{len(spec.task_names)} tasks{', and before them ' * bool(spec.tune)}{added(spec)}"
            )
