"""What runs elsewhere (workflows, hooks) names targets, commands and files that are here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from typer.main import get_command

from secura_bench.cli.main import app
from secura_bench.execution.languages import LANGUAGES

GATE = ROOT / "examples" / "gate-a-model.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(path: Path) -> list[str]:
    """Return the shell text of every step."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", [*WORKFLOWS, GATE], ids=lambda path: path.name)
def test_every_target_and_command_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "\n".join(steps(path))
    assert set(re.findall(r"\bmake ([\w-]+)", text)) <= targets
    assert set(re.findall(r"\bsecura-bench (\w+)", text)) <= set(get_command(app).commands)
    assert all((ROOT / script).is_file() for script in re.findall(r"\bscripts/\w+\.py", text))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_sandbox_is_there_before_the_tests_run(path: Path) -> None:
    """With every language's toolchain: without them the tests of executed code skip."""
    run = steps(path)
    tested = [at for at, step in enumerate(run) if "make test" in step or "pytest" in step]
    assert tested and run.index(".github/sandbox.sh") < tested[0]
    script = ROOT / ".github" / "sandbox.sh"
    assert os.access(script, os.X_OK)
    named = re.search(r"python -c \"(.*)\"\)", script.read_text(encoding="utf-8"))
    assert named is not None
    told = subprocess.run([sys.executable, "-c", named[1]], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == " ".join(language.packages for language in LANGUAGES.values()).split()


def test_every_action_is_pinned_to_a_version() -> None:
    used = re.findall(r"uses: (\S+)", "\n".join(path.read_text(encoding="utf-8") for path in [*WORKFLOWS, GATE]))
    assert used and all("@" in action for action in used)


def actions(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the steps that use an action, by its name without the version."""
    found: dict[str, list[dict[str, Any]]] = {}
    for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
        for step in job["steps"]:
            if "uses" in step:
                found.setdefault(step["uses"].partition("@")[0], []).append(step)
    return found


def test_the_gate_to_copy_has_options_that_are_there() -> None:
    (text,) = [step for step in steps(GATE) if "secura-bench score" in step]
    given = set(re.findall(r"(?<!\S)--[\w-]+", text))
    assert given and given <= {name for each in get_command(app).commands["score"].params for name in each.opts}


def test_the_gate_to_copy_needs_no_requirements_file() -> None:
    (step,) = actions(GATE)["actions/setup-python"]
    assert "cache" not in step["with"], "it ends with an error where there is no requirements.txt and no pyproject.toml"


def test_the_gate_to_copy_keeps_answers_where_it_stops_a_merge() -> None:
    (restored,), (saved,) = (actions(GATE)[f"actions/cache/{name}"] for name in ("restore", "save"))
    assert saved["if"] == "always()"
    assert saved["with"].items() <= restored["with"].items()
    assert restored["with"]["key"].startswith(restored["with"]["restore-keys"])


def test_the_lowest_versions_are_those_of_the_project() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 and newer read TOML")
    script = [sys.executable, str(ROOT / "scripts" / "lowest.py")]
    told = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [pin.replace("==", ">=") for pin in told] == [need.partition(",")[0] for need in project["dependencies"]]


def test_hooks_run_the_tools_of_make_setup() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert {hook["entry"].split()[0] for hook in hooks} == {".venv/bin/ruff", ".venv/bin/mypy"}
    checks = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert checks is not None and {"ruff", "mypy"} == set(re.findall(r"\$\(BIN\)/(\w+)", checks[1]))
