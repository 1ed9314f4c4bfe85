"""What every command answers to: -h, --help, and the program to --version."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from secura_bench.cli.main import app
from secura_bench.foundation.version import __version__

COMMANDS = [
    [],
    *([name] for name in get_command(app).commands),
    *(["data", name] for name in get_command(app).commands["data"].commands),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_h_is_help(command: list[str]) -> None:
    short, long = (CliRunner().invoke(app, [*command, option]) for option in ("-h", "--help"))
    assert short.exit_code == long.exit_code == 0
    assert short.stdout == long.stdout and "-h, --help" in short.stdout


def test_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"secura-bench {__version__}\n")


@pytest.mark.parametrize("words", [["--version"], ["-h"], ["env", "-h"]], ids=" ".join)
def test_what_it_is_and_takes_is_said_without_torch(words: list[str]) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom secura_bench.cli.main import app\n"
        f"assert CliRunner().invoke(app, {words!r}).exit_code == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'peft', 'pandas', 'numpy', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
