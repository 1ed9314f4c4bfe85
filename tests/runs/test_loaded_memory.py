"""Five adapters, and five whole models, take the memory of one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import SPEC
from outside import untouched

pytestmark = pytest.mark.slow

COUNT, WITHIN = 5, 0.05


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a random base of 17 M parameters, adapters of it and whole models."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("outside")
    tokenizer = untouched()[1]
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=4,
        num_attention_heads=8,
        max_position_embeddings=1024,
    )
    for name in ("base", *(f"whole-{number}" for number in range(COUNT))):
        torch.manual_seed(len(name) + ord(name[-1]))
        LlamaForCausalLM(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    for number in range(COUNT):
        model = LlamaForCausalLM.from_pretrained(folder / "base")
        adapted = get_peft_model(model, LoraConfig(r=128, target_modules="all-linear", init_lora_weights=False))
        adapted.save_pretrained(folder / f"adapter-{number}")
    return folder


def peak(made: Path, results: Path, kind: str, count: int) -> float:
    """Return the highest peak of the runs that score so many checkpoints, in a process of its own, in MiB."""
    labels = [f"{kind}-{number}" for number in range(count)]
    methods = [{"name": "checkpoint", "label": label, "path": str(made / label)} for label in labels]
    spec = {**yaml.safe_load(SPEC), "model": str(made / "base"), "methods": methods}
    spec["evaluate"] = {"protocols": ["teacher_forced"], "limit": 2}
    results.mkdir()
    (results / "spec.yaml").write_text(yaml.safe_dump(spec))
    command = [sys.executable, "-m", "secura_bench", "run", "spec.yaml", "--quiet"]
    done = subprocess.run(command, cwd=results, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in results.glob("results/trial/*/record.json")]
    assert len(records) == count + 1
    return max(record["cost"]["peak_memory"] for record in records) / 2**20


@pytest.mark.parametrize("kind", ["adapter", "whole"])
def test_the_peak_of_five_is_that_of_one(made: Path, tmp_path: Path, kind: str) -> None:
    one, five = (peak(made, tmp_path / str(count), kind, count) for count in (1, COUNT))
    print(f"{kind}: one {one:.0f} MiB, five {five:.0f} MiB")
    assert five <= one * (1 + WITHIN)
