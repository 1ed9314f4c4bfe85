"""The examples, run as they stand: on the tiny model, offline."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
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


def run(name: str, folder: Path, *words: str) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_method_trainer(tmp_path: Path) -> None:
    assert "'ewc'" in run("method_trainer", tmp_path)
    assert (tmp_path / "out" / "model" / "adapter_model.safetensors").is_file()
    assert (tmp_path / "out" / "tiny_count" / "checkpoint-10" / "method").is_dir()
    run("method_trainer", tmp_path)  # each task goes on from its end


def test_forgetting_callback(tmp_path: Path) -> None:
    said = run("forgetting_callback", tmp_path)
    assert said.count("'learned'") == 5  # the last is of the end
    shown = secura_bench("report", "results", cwd=tmp_path)
    assert shown.returncode == 0 and "lora" in shown.stdout


@pytest.mark.skipif(find_spec("trl") is None, reason="trl is not installed: pip install 'secura-bench[trl]'")
def test_sft_method_trainer(tmp_path: Path) -> None:
    said = run("sft_method_trainer", tmp_path)
    assert "'ewc'" in said and said.count("'learned'") == 4
    shown = secura_bench("report", "results", cwd=tmp_path)
    assert shown.returncode == 0 and "stack-sftmethodtrainer" in shown.stdout.replace("\n", "")
