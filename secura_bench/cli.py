"""The command line: verbs only. What a command needs is imported inside it, so that --help answers at once."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from secura_bench.cli_results import compare, report, tell
from secura_bench.errors import BenchError, DataError, SpecError, StoppedEarly
from secura_bench.harmless import plain, plain_lines, plain_note


class _Stoppable(TyperGroup):
    """Commands that Ctrl-C ends in one line, wherever it meets them."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("stopped; the same command goes on from here", False)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Stoppable,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure what a language model learns and forgets while it is fine-tuned.",
)

Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one key of the spec, as in train.lr=1e-4; may be repeated.",
    ),
]
Plugins = Annotated[
    list[Path], typer.Option("--plugin", metavar="FILE", help="A Python file that defines methods; may be repeated.")
]
Includes = Annotated[
    list[Path],
    typer.Option("--include", metavar="FOLDER", help="A folder with task files of your own; may be repeated."),
]
_NONE: list[str] = []
_NO_FILES: list[Path] = []
_at_end = ExitStack()  # what a command undoes: several may run in one process


@app.command()
def run(
    spec: Annotated[str, typer.Argument(help="A YAML spec, or the name of a shipped one, such as smoke.")],
    results: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("results"),
    overrides: Set = _NONE,
    plugins: Plugins = _NO_FILES,
    includes: Includes = _NO_FILES,
    only: Annotated[
        list[str], typer.Option("--only", metavar="RUN", help="Do this run alone, by a unique part of its name.")
    ] = _NONE,
    force: Annotated[
        bool, typer.Option("--force", help="Move what is there of the runs aside and do them anew.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; errors and the report alone.")] = False,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let the spec's evaluate:<id> metrics be loaded: they are code.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json-lines", help="Events as a JSON object a line on stdout, and no report.")
    ] = False,
    report_to: Annotated[
        list[str], typer.Option("--report-to", metavar="TRACKER", help="tensorboard, wandb, ...; may be repeated.")
    ] = _NONE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, as `plan` does, and do nothing.")] = False,
) -> None:
    """Do an experiment's missing runs, then print its report.

    Stopped by Ctrl-C or killed, the same command goes on where it was.
    """
    if dry_run:
        plan(spec, results, 0, overrides, plugins, includes)
        return
    from secura_bench.spec import load_specs
    from secura_bench.training.processes import MEETING, check_launch, count, is_main

    check_launch()
    if quiet and json_lines:
        raise BenchError("--quiet and --json-lines contradict each other; leave one of them out.")
    quiet = quiet or json_lines
    _hush(quiet)
    _load(plugins)
    _include(includes)
    loaded = load_specs(spec, overrides)
    if report_to:
        from secura_bench.trackers import check_trackers

        check_trackers(report_to)
    _say("reading the model's shapes and the data", quiet)
    from secura_bench.plan import make_plans
    from secura_bench.planning.device import this_device
    from secura_bench.planning.outlook import refuse_what_cannot_fit
    from secura_bench.report.collect import read_runs
    from secura_bench.report.formats.terminal import show
    from secura_bench.report.report import make_report
    from secura_bench.runner import execute_all
    from secura_bench.stopping import Stopped

    refuse_what_cannot_fit(loaded, this_device())
    plans = make_plans(loaded, allow_code)
    runs = [run for one in plans for run in one.runs]
    if count() > 1 and is_main():
        _say(f"waiting for {count()} processes, {MEETING.total_seconds() / 60:g} minutes at most", quiet)
    try:
        outcome = execute_all(
            plans, results, "machine" if json_lines else "quiet" if quiet else "person", only, force, report_to
        )
    except Stopped as stopped:
        _say("stopped; the same command goes on from here", False)
        raise typer.Exit(128 + stopped.signal) from None
    if is_main():
        if outcome.skipped:
            _say(f"{len(outcome.skipped)} of {len(runs)} runs were finished before and are left as they are", quiet)
        if json_lines:
            from secura_bench.progress import JsonLines

            JsonLines().event("finished", **vars(outcome))
        else:
            folders = [results / run.folder for run in runs if (results / run.folder).exists()]
            found, problems = read_runs(folders)
            tell(problems)
            if found:
                show(make_report(found).tables)
        for name, reason in outcome.failed.items():
            _say(f"failed: {name}: {reason}", False)
        for name, holder in outcome.held.items():
            _say(f"not done here: {name}: {holder} does it", False)
    if outcome.diverged or outcome.failed:
        raise typer.Exit(1)
    if outcome.held:
        raise typer.Exit(3)


@app.command()
def status(
    results: Annotated[Path, typer.Argument(help="A results folder, or an experiment's.")] = Path("results"),
) -> None:
    """Say which runs are done, running (where), failed (why) or missing, and how long it takes."""
    from secura_bench.progress import duration
    from secura_bench.status import read_status, seconds_left

    runs = read_status(results)
    if not runs:
        raise BenchError(f"{results}: no run was planned there. `secura-bench run SPEC` makes one.")
    counts = {state: sum(run.state == state for run in runs) for state in dict.fromkeys(run.state for run in runs)}
    width = max(len(plain(run.name)) for run in runs)
    for position, run in enumerate(runs):
        if position == 0 or runs[position - 1].experiment != run.experiment:
            typer.echo(plain(run.experiment))
        typer.echo(f"  {plain(run.name):<{width}}  {run.state:<8}  {plain_note(run.detail)}".rstrip())
    left = seconds_left(runs)
    summary = ", ".join(f"{number} {state}" for state, number in counts.items())
    typer.echo(summary + (f"; about {duration(left)} left" if left else ""))


@app.command()
def plan(
    spec: Annotated[str, typer.Argument(help="A YAML spec, or the name of a shipped one, such as smoke.")],
    results: Annotated[Path, typer.Option(help="Where finished runs are looked for.")] = Path("results"),
    probe: Annotated[
        int, typer.Option(metavar="STEPS", min=0, help="Measure so many steps of each method on this machine.")
    ] = 0,
    overrides: Set = _NONE,
    plugins: Plugins = _NO_FILES,
    includes: Includes = _NO_FILES,
) -> None:
    """Show what a spec stands for and takes: runs, parameters, memory, disk, time. Works offline and writes nothing."""
    from secura_bench.spec import load_specs

    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything reads it
    _load(plugins)
    _include(includes)
    loaded = load_specs(spec, overrides)
    from secura_bench.planning.device import this_device
    from secura_bench.planning.outlook import look_out
    from secura_bench.planning.show import show

    device = this_device()
    for line in show(look_out(loaded, results, device, probe), device):
        typer.echo(line)


@app.command()
def validate(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="YAML specs, or names of shipped ones.")],
    overrides: Set = _NONE,
    plugins: Plugins = _NO_FILES,
    includes: Includes = _NO_FILES,
) -> None:
    """Check specs: keys, values, tasks, methods and their options. Loads no model and no data."""
    from secura_bench.spec import load_specs

    _load(plugins)
    _include(includes)
    for name in specs:
        for spec in load_specs(name, overrides):
            runs = 1 + len(spec.seeds) * sum(len(spec.sequences(m)) for m in spec.methods if m.name != "base")
            typer.echo(
                f"{name}: valid; {spec.experiment} on {spec.model}: {runs} runs of {len(spec.methods)} methods on "
                f"{len(spec.task_names)} tasks"
            )


app.command()(report)
app.command()(compare)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder to write to.")],
    to: Annotated[str, typer.Option(help="peft (a stock adapter) or merged (a whole model).")] = "peft",
    model: Annotated[str | None, typer.Option(help="Where the base model is, if not where the run had it.")] = None,
    plugins: Plugins = _NO_FILES,
) -> None:
    """Write a run's trained adapter or model in a form that PEFT and transformers load."""
    from secura_bench.errors import unknown_name

    if to not in ("peft", "merged"):
        raise BenchError(f"--to {to}: {unknown_name('form', to, ('peft', 'merged'))}")
    from secura_bench.export import export as write

    _load(plugins)
    write(run, to, target, model)  # type: ignore[arg-type]
    typer.echo(f"{target}: written; loads with {'PEFT' if to == 'peft' else 'transformers'} alone")


@app.command("check-method")
def check_method(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Python file that defines methods.")],
    method: Annotated[str | None, typer.Option(metavar="NAME", help="Check this method of the file alone.")] = None,
    options: Annotated[
        list[str], typer.Option("--option", metavar="KEY=VALUE", help="An option of the method; may be repeated.")
    ] = _NONE,
) -> None:
    """Say what holds of a method of your own: it trains, is killed, resumes, stacks, exports. On the tiny model."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before anything asks: only on a CPU are runs the same bit by bit
    from secura_bench.checking.command import check_file

    if not check_file(file, method, options, lambda line: _say(line, False), typer.echo):
        raise typer.Exit(1)


@app.command("ls")
def list_kind(
    kind: Annotated[str, typer.Argument(help="tasks, lists, methods, models or configs.")],
    plugins: Plugins = _NO_FILES,
    includes: Includes = _NO_FILES,
) -> None:
    """List what a spec can name: tasks, named lists, methods, models, shipped specs."""
    from secura_bench.errors import unknown_name
    from secura_bench.listing import KINDS, show

    if kind not in KINDS:
        raise BenchError(f"ls {kind}: {unknown_name('kind', kind, KINDS)}")
    _load(plugins)
    _include(includes)
    show(KINDS[kind]())


data = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Fetch tasks' rows, and look at them closely.")
app.add_typer(data, name="data")
Tasks = Annotated[list[str], typer.Argument(metavar="TASK...", help="Tasks or named lists.")]


@data.command()
def fetch(
    tasks: Tasks,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where <task>.jsonl files go.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress of downloads.")] = False,
    includes: Includes = _NO_FILES,
) -> None:
    """Write tasks' rows from the Hub to files, to be read without a network by SECURA_BENCH_DATA=FOLDER.

    A task that fails does not stop the others, and those that are there already are left as they are: the same command
    goes on where it stopped.
    """
    from secura_bench.data.fetch import fetch as write
    from secura_bench.data.tasks import expand

    _hush(quiet)
    _include(includes)
    names, failed = expand(tuple(tasks)), []
    for task in names:
        try:
            path, rows = write(task, to)
        except DataError as error:
            if len(names) == 1:
                raise
            failed.append(task)
            _say(f"failed: {error}", False)
            continue
        typer.echo(f"{path}: was there already" if rows is None else f"{path}: {rows} rows")
    if failed:
        raise BenchError(f"not fetched: {', '.join(failed)}; the same command goes on with what is missing.")


@data.command("check")
def check_data(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK...", help="Tasks, named lists or files of rows.")],
    model: Annotated[str, typer.Option(help="Whose tokenizer and chat template: a preset, Hub id or folder.")] = "tiny",
    context: Annotated[int, typer.Option(help="The longest row in tokens.", min=1)] = 600,
    probe: Annotated[str, typer.Option(help="The task or list whose text should not be met.")] = "f_task",
    system: Annotated[str | None, typer.Option(help="As data.system in a spec.")] = None,
    num_fewshot: Annotated[int, typer.Option(help="As data.num_fewshot in a spec.", min=0)] = 0,
    includes: Includes = _NO_FILES,
) -> None:
    """Show examples exactly as the model will see them, and what is to be known of a task's rows."""
    from pydantic import ValidationError

    from secura_bench.data.chat import ChatFormat
    from secura_bench.data.tasks import CATALOG, expand, find_data_file, is_data_file
    from secura_bench.inspection import inspect
    from secura_bench.models.load import find_model, load_tokenizer
    from secura_bench.spec import DataSpec

    _include(includes)
    names = expand(tuple(CATALOG.add_file(find_data_file(name)) if is_data_file(name) else name for name in tasks))
    found = find_model(model, fetch="tokenizer")
    try:
        settings = DataSpec(context=context, system=system, num_fewshot=num_fewshot)
    except ValidationError as error:
        raise SpecError(f"--system: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from None
    chat = ChatFormat(load_tokenizer(found), settings.system, found.label)
    typer.echo(f"as the model {model} reads them, in at most {context} tokens\n")
    for task in names:
        for line in inspect(task, settings, chat, probe):
            typer.echo(line)
        typer.echo()


def _load(plugins: list[Path]) -> None:
    """Register the methods of the user's files."""
    if plugins:
        from secura_bench.registry import load_plugin

        for plugin in plugins:
            load_plugin(plugin)


def _include(folders: list[Path]) -> None:
    """Make the user's task files known until the command ends."""
    from secura_bench.data.tasks import CATALOG

    _at_end.callback(CATALOG.reset)
    CATALOG.include(folders)


def _hush(quiet: bool) -> None:
    """Let nothing be said of downloads until the command ends, if ``quiet``."""
    from secura_bench.hub.voice import hushed

    _at_end.enter_context(hushed(quiet))


def _say(text: str, quiet: bool) -> None:
    """Print what is said beside the results; it may hold names and messages that are anybody's."""
    if not quiet:
        typer.echo(plain_lines(text), err=True)


def main() -> None:
    """Run the command line; an error that the user can mend is printed plainly and exits with 2."""
    # Libraries' notes to their own developers are not for the user of this one.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|accelerate)\b")
    try:
        with _at_end:
            app()
    except BenchError as error:
        _say(f"secura-bench: {error}", False)
        sys.exit(3 if isinstance(error, StoppedEarly) else 2)
    except OSError as error:
        _say(f"secura-bench: {error.filename or ''}: {error.strerror or error}", False)
        sys.exit(2)
    except Exception as error:
        from secura_bench.plugins import plugin_fault

        if (fault := plugin_fault(error)) is None:
            raise
        _say(f"secura-bench: a method that is not this program's failed: {fault}.", False)
        sys.exit(2)
