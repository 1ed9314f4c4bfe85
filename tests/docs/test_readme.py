"""The README says what is true: its specs are valid, its task is the shipped one, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from conftest import ROOT

from secura_bench.foundation.resources import shipped
from secura_bench.spec.load import load_spec

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_its_spec_is_valid(tmp_path: Path) -> None:
    spec, _ = blocks("yaml")
    (tmp_path / "spec.yaml").write_text(spec)
    loaded = load_spec(str(tmp_path / "spec.yaml"))
    assert [method.name for method in loaded.methods] == ["seq", "lora", "secura"]


def test_its_task_is_the_shipped_one() -> None:
    _, task = blocks("yaml")
    assert yaml.safe_load(task) == yaml.safe_load((shipped("tasks") / "arc_c.yaml").read_text())


def test_its_commands_and_options_exist() -> None:
    from typer.main import get_command

    from secura_bench.cli.main import app

    program = get_command(app)
    commands = program.commands
    named = set(
        re.findall(
            r"secura-bench ([a-z]+(?:-[a-z]+)*)", "\n".join([*blocks("console"), *re.findall(r"`(.*?)`", README)])
        )
    )
    assert {"run", "report"} <= named <= set(commands)
    takers = (program, *commands.values())
    known = {option for command in takers for parameter in command.params for option in parameter.opts}
    ours = re.sub(r"torchrun\s+--\S+\s+\d+", "", README)
    assert set(re.findall(r"(?<![-\w])--[a-z]+(?:-[a-z]+)*", ours)) <= known


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make ([a-z-]+)`", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_its_methods_are_the_registered_ones() -> None:
    from secura_bench.foundation.registry import METHODS

    table = README.split("## Methods")[1].split("Every adapter takes")[0]
    named = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named | {"stack"} == set(METHODS.names())


def test_its_method_is_the_one_in_the_docs() -> None:
    (method,) = (block for block in blocks("python") if "class " in block)
    assert method == (ROOT / "docs/methods/l2_to_start.py").read_text()
    assert len(method.splitlines()) <= 30


def test_every_named_file_exists() -> None:
    for path in set(re.findall(r"`((?:configs|tasks|scripts|docs)/[\w./-]+)`", README)):
        assert (ROOT / path).exists(), path
