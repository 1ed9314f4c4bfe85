"""The examples, run as they stand: on the tiny model, offline."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path

import pytest
import torch
from conftest import ROOT, secura_bench

pytestmark = pytest.mark.slow


def test_the_page_of_trainers_begins_with_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "docs" / "trainer.md"
    if not page.is_file():
        pytest.skip("the docs are not in the source archive")
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(blocks[0], {})
    assert (tmp_path / "out" / "checkpoint-5" / "method").is_dir()
    for block in blocks[1:]:
        compile(block, "trainer.md", "exec")


def in_a_process(name: str, folder: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a function that does what a process of an example does, on a CPU, and returns what it prints."""

    def do(name: str) -> str:
        path = str(ROOT / "examples" / f"{name}.py")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [path])
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with redirect_stdout(io.StringIO()) as out:
            run_path(path, run_name="__main__")
        return out.getvalue()

    return do


def test_method_trainer(run: Callable[[str], str], tmp_path: Path) -> None:
    assert "'ewc'" in in_a_process("method_trainer", tmp_path)
    assert (tmp_path / "out" / "model" / "adapter_model.safetensors").is_file()
    assert (tmp_path / "out" / "tiny_count" / "checkpoint-10" / "method").is_dir()
    run("method_trainer")  # each task goes on from its end


def test_forgetting_callback(run: Callable[[str], str], tmp_path: Path) -> None:
    said = run("forgetting_callback")
    assert said.count("'learned'") == 5  # the last is of the end
    shown = secura_bench("report", "results", cwd=tmp_path)
    assert shown.returncode == 0 and "lora" in shown.stdout


@pytest.mark.skipif(find_spec("trl") is None, reason="trl is not installed: pip install 'secura-bench[trl]'")
def test_sft_method_trainer(tmp_path: Path) -> None:
    said = in_a_process("sft_method_trainer", tmp_path)
    assert "'ewc'" in said and said.count("'learned'") == 4
    shown = secura_bench("report", "results", cwd=tmp_path)
    assert shown.returncode == 0 and "stack-sftmethodtrainer" in shown.stdout.replace("\n", "")
