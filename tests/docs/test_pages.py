"""The README and the pages say what is true: commands, options, targets, files and functions that they name exist."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, SPEC, secura_bench

from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.resources import shipped
from secura_bench.spec.load import load_spec

sys.path.insert(0, str(ROOT / "scripts"))
import run_pages

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
METHOD = (ROOT / "docs/methods/l2_to_start.py").read_text(encoding="utf-8")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}(?: [^\n]*)?\n(.*?)^```", text_of(page), flags=re.DOTALL | re.MULTILINE)


def named(page: Path) -> str:
    """Return what a page shows of commands: its ``console`` blocks and what it has between backticks."""
    return "\n".join([*blocks(page, "console"), *re.findall(r"`([^`]+)`", text_of(page))])


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8192


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_options_and_targets_exist(page: Path) -> None:
    from typer.main import get_command

    from secura_bench.cli.main import app

    program = get_command(app)
    lines = re.findall(r"secura-bench ((?:[^\s`&|]+ ?)+)", named(page))
    for line in lines:
        words = line.split("#")[0].split(" -- ")[0].split()  # what follows is another program's
        command, takers = program, [program]
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            if words[0].isupper():  # COMMAND stands for any
                break
            assert words[0] in command.commands, f"secura-bench {line}"
            command = command.commands[words.pop(0)]
            takers.append(command)
        known = {option for taker in takers for parameter in taker.params for option in parameter.opts} | {"-h"}
        known |= {"--install-completion", "--show-completion"}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= known, f"secura-bench {line}"
    makefile = text_of(ROOT / "Makefile")
    for target in set(re.findall(r"(?:^|\$ )make ([a-z-]+)$", named(page), flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_and_links_are_there(page: Path) -> None:
    for path in set(re.findall(r"`((?:configs|tasks|scripts|docs|tests)/[\w./-]+)`", text_of(page))):
        assert (ROOT / path).exists() or (ROOT / "secura_bench" / path).exists(), path
    for link in re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", text_of(page)):
        assert (page.parent / link).exists(), link


def test_every_command_has_its_row() -> None:
    from typer.main import get_command

    from secura_bench.cli.main import app

    rows = set(re.findall(r"^\| `secura-bench ([a-z-]+)", text_of(ROOT / "docs/commands.md"), flags=re.MULTILINE))
    assert rows == set(get_command(app).commands)


def test_every_table_has_its_row() -> None:
    from secura_bench.publications.publication import publication
    from secura_bench.report.against.shapes import names_of
    from secura_bench.report.tables.general import BY_PROTOCOL, BY_STUDY

    page = text_of(ROOT / "docs/reading.md")
    rows = re.findall(r"^\| (`.*?`) \|", page.split("| `--table` |")[1].split("\n\n")[0], flags=re.MULTILINE)
    *general, paper = [re.findall(r"`(\w+)`", row) for row in rows]
    assert {name for row in general for name in row} == {*BY_PROTOCOL, *BY_STUDY}
    first, to, after, last = map(int, paper)
    own = set(names_of(publication("secura")))
    assert {str(number) for number in (*range(first, to + 1), *range(after, last + 1))} == own


def test_specs_are_valid_and_the_task_is_the_shipped_one(tmp_path: Path) -> None:
    spec, keys = blocks(ROOT / "docs/specs.md", "yaml")
    (tmp_path / "spec.yaml").write_text(spec)
    whole = yaml.safe_load(spec)
    for section, said in yaml.safe_load(keys).items():
        whole[section] = whole.get(section, {}) | said
    del whole["train"]["steps"]  # of which there is one, or epochs
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(whole))
    assert load_spec(str(tmp_path / "changed.yaml")).train.schedule_steps == 3000
    assert [method.name for method in load_spec(str(tmp_path / "spec.yaml")).methods] == ["seq", "lora", "secura"]
    (tuned,) = blocks(ROOT / "docs/tuning.md", "yaml")
    (tmp_path / "tuned.yaml").write_text(tuned)
    assert load_spec(str(tmp_path / "tuned.yaml")).tune is not None
    (task,) = blocks(ROOT / "docs/extend/tasks.md", "yaml")
    assert yaml.safe_load(task) == yaml.safe_load((shipped("tasks") / "arc_c.yaml").read_text())


@pytest.mark.parametrize("page", ["README.md", "docs/extend/methods.md"])
def test_the_method_is_the_one_in_the_docs(page: str) -> None:
    (method,) = (block for block in blocks(ROOT / page, "python") if "class " in block)
    assert method == METHOD and len(method.splitlines()) <= 30


def test_the_metric_of_ones_own_runs(tmp_path: Path, metric_modules: None) -> None:
    page = ROOT / "docs/extend/metrics.md"
    (tmp_path / "exact_length").mkdir()
    (tmp_path / "exact_length/exact_length.py").write_text(blocks(page, "python")[0])
    asked = yaml.safe_load(blocks(page, "yaml")[0])["evaluate"] | {"limit": 3}
    spec = re.sub(r"evaluate: .*", f"evaluate: {asked}", SPEC).replace("{name: lora, r: 2}", "base")
    (tmp_path / "spec.yaml").write_text(spec)
    done = secura_bench("run", "spec.yaml", "--allow-code", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "exact_length" in next(tmp_path.rglob("record.json")).read_text()


def test_files_hold_the_functions_that_architecture_names() -> None:
    page = text_of(ROOT / "docs/architecture.md")
    rows = re.findall(r"^\| [^|]+ \| `([\w/]+\.py)` \| `(\w+)` \|$", page, flags=re.MULTILINE)
    assert len(rows) >= 20
    for file, name in rows:
        tree = ast.parse(text_of(ROOT / "secura_bench" / file))
        held = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert name in held, f"{file} holds no {name}"


@pytest.mark.slow
def test_the_readme_and_the_tutorial_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of either ends well, and prints what stands there but for its numbers."""
    from outside import ROWS, save_adapter

    def run(words: Sequence[str], folder: Path) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(METHODS, "_objects", dict(METHODS._objects))  # a plug-in's method is its command's
            done = secura_bench(*words, cwd=folder, **run_pages.TERMINAL)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shutil.copy(run_pages.METHOD, tmp_path)
    tutorial = text_of(run_pages.TUTORIAL)
    assert numberless(run_pages.run_page(tutorial, tmp_path, run)) == numberless(tutorial), "run `make docs`"
    save_adapter(tmp_path / "out/lora", steps=2)
    rows = [json.dumps({"prompt": prompt, "completion": answer}) for prompt, answer in ROWS]
    (tmp_path / "my_rows.jsonl").write_text("\n".join(rows))
    probe = "--probe tiny_f_task --set probe_rows=9"  # whose rows are here, and a few of them
    run_pages.run_page(text_of(ROOT / "README.md").replace("--probe f_task", probe), tmp_path, run)
    assert len(list(tmp_path.glob("results/score-my_rows/*/record.json"))) == 2
    pulls = [yaml.safe_load(blocks(page, "yaml")[0]) for page in (ROOT / "README.md", run_pages.TUTORIAL)]
    assert pulls[0] == pulls[1] | {"seeds": [1, 2, 3, 4, 5]}  # so that the runs are done once


def numberless(page: str) -> str:
    """Return a page without digits, and with one space for several: another CPU may round another way."""
    return re.sub(r"[\s─]+", " ", re.sub(r"[−±]?\d[\d.,]*", "#", page))
