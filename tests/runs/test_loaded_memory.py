"""Five adapters, and five whole models, take the memory of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml
from conftest import SPEC, secura_bench
from forked import Forked
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
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    for name in ("base", *(f"whole-{number}" for number in range(COUNT))):
        model.lm_head.weight.data.mul_(1.01)  # no two are the same, or they would be scored once
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    adapted = get_peft_model(model, LoraConfig(r=128, target_modules="all-linear", init_lora_weights=False))
    for number in range(COUNT):
        for tensor in (p for p in adapted.parameters() if p.requires_grad):
            tensor.data.mul_(1.01)
        adapted.save_pretrained(folder / f"adapter-{number}")
    return folder


def write_spec(made: Path, folder: Path, kind: str, count: int) -> None:
    labels = [f"{kind}-{number}" for number in range(count)]
    methods = [{"name": "checkpoint", "label": label, "path": str(made / label)} for label in labels]
    spec = {**yaml.safe_load(SPEC), "model": str(made / "base"), "methods": methods}
    spec["evaluate"] = {"protocols": ["teacher_forced"], "limit": 2}
    folder.mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))


def score_in(folders: Sequence[Path]) -> None:
    """Do the specs, one after the other."""
    for folder in folders:
        done = secura_bench("run", "spec.yaml", "--json-lines", cwd=folder)  # a report would import more
        assert done.returncode == 0, done.stderr


def peak(folder: Path, count: int) -> float:
    """Return the highest peak of the runs that scored so many checkpoints, in MiB."""
    records = [json.loads(path.read_text()) for path in folder.glob("results/trial/*/record.json")]
    assert len(records) == count + 1
    return max(record["cost"]["peak_memory"] for record in records) / 2**20


def test_the_peak_of_five_is_that_of_one(made: Path, tmp_path: Path) -> None:
    """In a process that does nothing else, of adapters and of whole models; a run's peak is counted from its start."""
    counts = [(kind, count) for kind in ("adapter", "whole") for count in (1, COUNT)]
    folders = {(kind, count): tmp_path / f"{kind}-{count}" for kind, count in counts}
    for (kind, count), folder in folders.items():
        write_spec(made, folder, kind, count)
    code, _, said = Forked(score_in, list(folders.values()), cwd=tmp_path).end()
    assert code == 0, said
    for kind in ("adapter", "whole"):
        one, five = (peak(folders[kind, count], count) for count in (1, COUNT))
        print(f"{kind}: one {one:.0f} MiB, five {five:.0f} MiB")
        assert five <= one * (1 + WITHIN)
