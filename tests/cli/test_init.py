"""`init` writes a spec that runs as it stands, and whose comments say what is so anyway."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from secura_bench.cli.main import app
from secura_bench.foundation.registry import METHODS
from secura_bench.spec.load import load_spec


def init(folder: Path, *words: str) -> Path:
    file = folder / "mine.yaml"
    done = CliRunner().invoke(app, ["init", str(file), *words], catch_exceptions=False)
    assert done.exit_code == 0 and f"secura-bench plan {file}" in done.stderr
    return file


def test_it_is_a_spec_that_loads(tmp_path: Path) -> None:
    spec = load_spec(str(init(tmp_path)))
    assert (spec.experiment, spec.mode, spec.model) == ("mine", "sequence", "tiny")
    assert [method.name for method in spec.methods] == ["base", "lora", "secura"]


def test_every_default_that_a_comment_tells_is_the_default(tmp_path: Path) -> None:
    # i_lora refuses to be told of a buffer that its default does without; others must be told something.
    methods = [name for name in METHODS.names() if name not in ("base", "i_lora", "stack", "peft", "checkpoint")]
    file = init(tmp_path, "--methods", ",".join(methods))
    spec, text = load_spec(str(file)), file.read_text(encoding="utf-8")
    open_ = re.sub(r"^( *)# (?=\w+:)", r"\1", text.partition("\n\n")[2], flags=re.MULTILINE)
    file.write_text(open_, encoding="utf-8")
    opened = load_spec(str(file))
    bare = {"methods"}
    assert opened.model_dump(exclude=bare) == spec.model_dump(exclude=bare)
    for told, short in zip(opened.methods, spec.methods, strict=True):
        options = METHODS.get(told.name).Options
        assert options(**told.options) == options(**short.options)
    assert set(yaml.safe_load(open_)) == set(type(spec).model_fields)


def test_own_rows_and_model_are_said(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "say {n}", "answer": "{n}"}}\n' for n in range(20)), encoding="utf-8")
    file = init(tmp_path, "--tasks", f"{rows}, tiny_count", "--separate", "--methods", "er", "--probe", "tiny_arith")
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert (spec["tasks"], spec["mode"], spec["probe"]) == ([str(rows), "tiny_count"], "separate", "tiny_arith")


def test_what_only_a_person_knows_is_asked_for(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["init", str(tmp_path / "mine.yaml"), "--methods", "peft"])
    assert done.exit_code == 0 and "Fill in peft: peft_type." in done.stderr


@pytest.mark.parametrize(
    ("words", "said"), [(["--methods", "lroa"], "lora"), (["--tasks", "tiny_cuont"], "tiny_count")], ids=" ".join
)
def test_a_wrong_name_writes_nothing(tmp_path: Path, words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["init", str(tmp_path / "mine.yaml"), *words])
    assert done.exit_code == 1 and said in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("mine\n")
    done = CliRunner().invoke(app, ["init", str(tmp_path / "mine.yaml")])
    assert done.exit_code == 1 and "is there already" in str(done.exception)
    assert (tmp_path / "mine.yaml").read_text() == "mine\n"
