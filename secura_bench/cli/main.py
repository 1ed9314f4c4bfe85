"""The command line: verbs only. What a command needs is imported inside it, so that --help answers at once."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from secura_bench.cli.check_method import check_method
from secura_bench.cli.data import check_data, fetch
from secura_bench.cli.env import env
from secura_bench.cli.init import init
from secura_bench.cli.ls import list_kind
from secura_bench.cli.options import at_end, say
from secura_bench.cli.plan import plan, validate
from secura_bench.cli.report import compare, report
from secura_bench.cli.results import export, status
from secura_bench.cli.run import run
from secura_bench.cli.schema import schema
from secura_bench.cli.score import score
from secura_bench.foundation.errors import BenchError, StoppedEarly
from secura_bench.foundation.library_warnings import leave_out_library_warnings
from secura_bench.foundation.refused import in_words
from secura_bench.foundation.version import __version__


class _Stoppable(TyperGroup):
    """Commands that Ctrl-C ends in one line, wherever it meets them."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("stopped; the same command goes on from here", False)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Stoppable,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},  # the commands' contexts inherit it
    help="Measure what a language model learns and forgets while it is fine-tuned.",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"secura-bench {__version__}")
        raise typer.Exit


@app.callback()
def _of_all(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(init)
app.command()(run)
app.command()(score)
app.command()(status)
app.command()(plan)
app.command()(validate)
app.command()(report)
app.command()(compare)
app.command()(export)
app.command("check-method")(check_method)
app.command("ls")(list_kind)
app.command()(env)
app.command()(schema)


data = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Fetch tasks' rows, and look at them closely.")
app.add_typer(data, name="data")
data.command()(fetch)
data.command("check")(check_data)


def main() -> None:
    """Run the command line; an error that the user can mend is printed plainly and exits with 2."""
    leave_out_library_warnings()
    try:
        with at_end:
            app()
    except BenchError as error:
        say(f"secura-bench: {error}", False)
        sys.exit(3 if isinstance(error, StoppedEarly) else 2)
    except OSError as error:
        say(f"secura-bench: {in_words(error)}", False)
        sys.exit(2)
    except Exception as error:
        from secura_bench.methods.plugins import plugin_fault

        if (fault := plugin_fault(error)) is None:
            raise
        say(f"secura-bench: a method that is not this program's failed: {fault}.", False)
        sys.exit(2)
