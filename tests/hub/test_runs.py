"""The bench against the whole Hub in a box: every task and preset, the headline experiments, what stops them."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, Done, secura_bench

from hub.box import Box, Fault
from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import load_data
from secura_bench.hub import voice
from secura_bench.models.load import find_model, load_model, load_tokenizer, presets
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import load_task, task_files

SMALL = ["train.steps=2", "train.batch_size=2", "probe_rows=6", "data.rows=40", "evaluate.limit=2", "threads=1"]
CUT = [word for setting in SMALL for word in ("--set", setting)]
EXPERIMENTS = {  # with two methods or one: to the Hub all are alike, and tests/spec runs all of them on the tiny model
    "exp3_llama3": ["tasks=[langid, cnndm]", "evaluate.every=null", "methods=[base, er, secura]"],
    "exp1_gemma2_2b": ["tasks=alpaca", "methods=[base, lora]"],
    "exp2_qwen2_1.5b": ["tasks=disflqa", "methods=[base, secura]"],
}


def run(config: str, *more: str, cwd: Path) -> Done:
    own = [word for setting in EXPERIMENTS[config] for word in ("--set", setting)]
    return secura_bench("run", str(ROOT / "configs" / f"{config}.yaml"), *CUT, *own, *more, cwd=cwd)


@pytest.mark.parametrize("name", [name for name in task_files() if load_task(name).hub])
def test_every_task_is_read(name: str, whole: Box, lead, tiny) -> None:
    lead(whole)
    data = load_data(name, DataSpec(rows=40, context=4000), tiny[1])
    assert data.train or load_task(name).first_tokens  # which are one text, and nothing trains on it
    assert data.test
    assert len(data.origin.revision) == 40
    fetched = [path for path in whole.fetched() if path != "README.md"]
    files = 5 if name.startswith("multipl_e") else 2 if load_task(name).test else 1
    assert len(fetched) == files  # the files of a split


@pytest.mark.parametrize("name", [name for name, preset in presets().items() if preset.hub])
def test_every_preset_is_loaded(name: str, whole: Box, lead) -> None:
    lead(whole)
    model = find_model(name, fetch="tokenizer")
    chat = ChatFormat(load_tokenizer(model))
    assert bool(chat.template) != (presets()[name].template or "").startswith("none, as")
    assert load_model(model).config.model_type == presets()[name].family
    assert all("/" not in path and not path.endswith((".pth", ".bin")) for path in whole.fetched())


@pytest.mark.slow
@pytest.mark.parametrize("config", EXPERIMENTS)
def test_headline_experiments_run_to_the_end(config: str, whole: Box, lead, tmp_path: Path, monkeypatch) -> None:
    lead(whole)
    done = run(config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first = [path for path in whole.fetched() if path.endswith((".safetensors", ".parquet"))]
    weights = [path.endswith(".safetensors") for path in first]
    assert weights == sorted(weights)  # data first, then the model
    records = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*/*/record.json")]
    assert {record["status"] for record in records} == {"done"}
    assert {score["protocol"] for record in records for score in record["scores"]} >= {"teacher_forced", "generate"}
    if config != "exp2_qwen2_1.5b":
        return
    requests = len(whole.log)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    again = run(config, "--only", "base", "--results", "offline", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(whole.log) == requests
    (online, offline) = (
        json.loads(next((tmp_path / folder).glob("*/*base*/manifest.json")).read_text())
        for folder in ("results", "offline")
    )
    assert offline["model"] == online["model"] == "Qwen/Qwen2-1.5B-Instruct@" + presets()["qwen2-1.5b"].revision
    assert offline["data"] == online["data"]
    assert all(len(note["revision"]) == 40 for note in offline["data"].values())


def test_a_tasks_fault_shows_before_weights_are_fetched(whole: Box, lead, tmp_path: Path) -> None:
    lead(whole)
    whole.faults = [Fault("alpaca", method="GET", flip=True)]
    done = run("exp1_gemma2_2b", "--quiet", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("secura-bench: task 'alpaca': hub:tatsu-lab/alpaca cannot be loaded: ")
    assert not any(path.endswith(".safetensors") for path in whole.fetched())


@pytest.mark.parametrize("command", ["check", "plan"])
def test_who_needs_no_weights_fetches_none(command: str, whole: Box, lead, tmp_path: Path) -> None:
    lead(whole)
    checked = secura_bench("data", "check", "gsm8k", "--model", "llama3-8b", "--probe", "arc_c", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "<|start_header_id|>assistant" in checked.stdout
    requests = len(whole.log)
    if command == "plan":
        spec = str(ROOT / "configs" / "exp1.yaml")
        planned = secura_bench("plan", spec, "--set", "tasks=gsm8k", "--set", "probe=arc_c", *CUT, cwd=tmp_path)
        assert planned.returncode == 0, planned.stderr
        assert "not on this machine" not in planned.stdout  # its tokenizer is enough to know each run by
        assert len(whole.log) == requests
    assert not any(path.endswith(".safetensors") for path in whole.fetched())


def _hears_ctrl_c() -> None:
    """Heed SIGINT, which a shell lets the commands that it starts in the background ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_stops_a_download_at_once(whole: Box, lead, tmp_path: Path) -> None:
    whole.faults = [Fault("/resolve/", slow=1000)]
    command = [sys.executable, "-m", "secura_bench", "data", "fetch", "gsm8k", "--to", "data"]
    environment = whole.environment(tmp_path / "hf") | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=_hears_ctrl_c
    ) as process:
        deadline = time.monotonic() + 60
        parts: list[Path] = []
        while not any(part.stat().st_size > 500 for part in parts) and time.monotonic() < deadline:
            time.sleep(0.05)
            parts = list(tmp_path.glob("hf/hub/*/blobs/*.incomplete"))
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.splitlines()[-1] == "stopped; the same command goes on from here"
    whole.faults.clear()
    (part,) = tmp_path.glob("hf/hub/*/blobs/*.incomplete")  # it did not wait for the rest
    before = part.stat().st_size
    assert before > 500
    lead(whole)
    again = secura_bench("data", "fetch", "gsm8k", "--to", "data", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert not part.exists()


def test_downloads_are_shown(whole: Box, lead, tmp_path: Path, monkeypatch) -> None:
    lead(whole)
    monkeypatch.setattr(voice, "EVERY", 0.0)
    monkeypatch.setattr(voice, "SMALL", 1000)
    plain = secura_bench("data", "fetch", "gsm8k", "--to", "a", cwd=tmp_path)
    assert "fetching data set openai/gsm8k: " in plain.stderr
    assert " of " in plain.stderr.splitlines()[-1]
    assert secura_bench("data", "fetch", "alpaca", "--to", "a", "--quiet", cwd=tmp_path).stderr == ""


def test_downloads_are_bars_on_a_terminal(monkeypatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with voice.Meter("fetching", "model a/b", 16_060_000_000) as meter:
        meter.advance(8_000_000_000)
        meter._bar[0].refresh()
        assert meter.state().startswith("8.0 GB of 16.1 GB, ")
    assert screen.getvalue().startswith("fetching model a/b: 16.1 GB\n")
    assert "8.0/16.1 GB" in screen.getvalue()
