"""The shipped specs: each says what it is, is valid, plans offline, fits the machine it names; the tiny ones run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import secura_bench

from secura_bench.estimates.device import A_LARGE_GPU, Device
from secura_bench.estimates.forecast import fits, forecast
from secura_bench.foundation.resources import shipped
from secura_bench.spec.load import load_specs

CONFIGS = sorted(shipped("configs").glob("*.yaml"))
EXPERIMENTS = ("exp0", "exp1", "exp2", "exp3", "fusion", "merge_exp1", "merge_exp2")
MODELS = ("gemma2_2b", "qwen2_1.5b", "qwen2_7b", "llama3", "llama3.1", "smollm2", "tiny")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_spec_is_valid_and_plans_offline(path: Path, tmp_path: Path, monkeypatch) -> None:
    specs = load_specs(str(path))
    assert load_specs(path.stem) == specs
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert path.read_text().startswith("# ") and any(
        f"secura-bench run {path.stem}" in line
        or f"secura-bench run configs/{path.stem}" in line
        or "secura-bench run configs/" in line
        for line in head
    )
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("SECURA_BENCH_DATA", raising=False)
    done = secura_bench("plan", str(path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "http" not in line), done.stdout
    assert not [file for file in tmp_path.rglob("*") if file.is_file()], "a plan writes nothing"


def test_every_experiment_has_every_model() -> None:
    assert {f"{experiment}_{model}" for experiment in EXPERIMENTS for model in MODELS} <= {p.stem for p in CONFIGS}


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.stem.startswith("exp3")], ids=lambda p: p.stem)
def test_the_sequences_fit_80_gb(path: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for found in forecast(load_specs(str(path)), tmp_path, A_LARGE_GPU):
        for estimate in found.methods:
            assert estimate.memory is not None and fits(estimate.memory, A_LARGE_GPU), estimate


def test_without_savings_full_fine_tuning_of_8b_does_not_fit(tmp_path: Path) -> None:
    """The combination that the spec chooses is needed: fp32, and bf16 autocast, are too large."""
    for precision in ("fp32", "bf16"):
        methods = f"methods=[{{name: seq, train: {{precision: {precision}}}}}]"
        (found,) = forecast(load_specs("exp3_llama3", [methods]), tmp_path, A_LARGE_GPU)
        (_, seq) = found.methods
        assert seq.memory is not None and not fits(seq.memory, A_LARGE_GPU)


def test_what_cannot_fit_is_refused_before_anything_is_loaded(tmp_path: Path, monkeypatch) -> None:
    from secura_bench.estimates import device

    monkeypatch.setattr(device, "this_device", lambda: Device("cpu", 8e9, 1e11, 8e9))
    done = secura_bench("run", "exp3_llama3", cwd=tmp_path)
    assert done.returncode == 2
    assert "would need about" in done.stderr and "7 GiB are free (cpu)" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_experiment_runs_to_its_end_in_its_tiny_version(tmp_path: Path) -> None:
    for experiment in EXPERIMENTS:
        done = secura_bench("run", f"{experiment}_tiny", "--quiet", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("record.json")]
    planned = sum(
        len(found.methods)
        for experiment in EXPERIMENTS
        for found in forecast(load_specs(f"{experiment}_tiny"), tmp_path, A_LARGE_GPU)
    )
    assert len(records) == planned
    assert {record["status"] for record in records} == {"done"}
    again = secura_bench("plan", "exp3_tiny", cwd=tmp_path)
    assert "runs      17, of them 17 done" in again.stdout
