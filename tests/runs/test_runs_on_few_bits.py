"""Whole runs on a base that is held in few bits: recorded, told apart, stopped and resumed, scored and exported."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
import yaml
from conftest import SPEC, secura_bench
from few_bits import REASON
from interrupted import SEQUENCE, assert_same, signal_me
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

pytest.importorskip("bitsandbytes", reason=REASON)

from secura_bench.models.load import find_model

METHODS = """[{name: lora, label: lora, r: 2, boundary: continue}, {name: secura, label: secura, r: 8, m: 16},
  {name: secura, label: cur, signorm: 'off', merge: m2, fusion_step: 3, r: 8, m: 16}]"""


def write(folder: Path, spec: str = SPEC, load: str = "{bits: 4}", methods: str = METHODS) -> Path:
    """Write a spec and a model of the tiny one's tokens, of widths that a CPU reads in 4 bits."""
    small = folder / "small"
    shutil.copytree(find_model("tiny").path, small)
    config = AutoModelForCausalLM.from_pretrained(small).config
    config.update({"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 16})
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(small)
    text = spec.replace("model: tiny", f"model: ./small\nmodel_load: {load}")
    (folder / "spec.yaml").write_text(text.replace("[{name: lora, r: 2}]", methods).replace("lr: 1.0e-3", "lr: 0.02"))
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder with the results of a sequence, undisturbed."""
    folder = write(tmp_path_factory.mktemp("few"), SEQUENCE)
    done = secura_bench("run", "spec.yaml", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def runs(folder: Path) -> dict[str, Path]:
    found = [(json.loads(path.read_text())["method"]["label"], path.parent) for path in folder.rglob("record.json")]
    return dict(found)


def test_the_record_says_how_the_model_was_held(finished: Path) -> None:
    for run in runs(finished).values():
        record = json.loads((run / "record.json").read_text())
        told = {"bits": 4, "quant_type": "nf4", "double_quant": True, "compute_dtype": "fp32"}
        assert record["model"]["label"] == "small-4bit" and record["model"]["load"] == told
        assert yaml.safe_load((run / "spec.yaml").read_text())["model_load"] == {"bits": 4}
        assert run.name.startswith("small-4bit-")
        whole = AutoModelForCausalLM.from_pretrained(finished / "small").num_parameters()
        assert record["parameters"]["total"] == whole + record["parameters"]["trainable"]


def test_stopped_and_resumed_it_ends_the_same(finished: Path, tmp_path: Path, at_step) -> None:
    write(tmp_path, SEQUENCE)
    at_step(5, signal_me(signal.SIGTERM))
    codes = []
    while not codes or codes[-1]:
        codes.append(secura_bench("run", "spec.yaml", cwd=tmp_path).returncode)
    assert set(codes[:-1]) == {143}
    assert_same(finished / "results", tmp_path / "results")


@pytest.mark.parametrize("label", ["lora", "secura", "cur"])
def test_an_adapter_goes_onto_a_base_in_four_bits(finished: Path, tmp_path: Path, label: str) -> None:
    from peft import PeftModel

    run = runs(finished)[label]
    done = secura_bench("export", str(run), str(tmp_path / "adapter"), "--to", "peft", cwd=finished)
    assert done.returncode == 0, done.stderr
    assert "held in 4 bits" in (tmp_path / "adapter" / "README.md").read_text()
    bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    stock = AutoModelForCausalLM.from_pretrained(finished / "small", quantization_config=bits, dtype=torch.float32)
    before = stock(input_ids=torch.arange(20)[None]).logits
    adapted = PeftModel.from_pretrained(stock, str(tmp_path / "adapter"))
    assert (adapted(input_ids=torch.arange(20)[None]).logits - before).abs().max() > 1e-3
    refused = secura_bench("export", str(run), str(tmp_path / "whole"), "--to", "merged", cwd=finished)
    assert refused.returncode and "held in 4 bits, and nothing is merged into them" in refused.stderr


def test_eight_bits_of_any_width_are_trained(tmp_path: Path) -> None:
    spec = SPEC.replace("model: tiny", "model: tiny\nmodel_load: {bits: 8, attn_implementation: eager}")
    (tmp_path / "spec.yaml").write_text(spec.replace("[{name: lora, r: 2}]", "[{name: secura, r: 8, m: 16}]"))
    done = secura_bench("run", "spec.yaml", "--quiet", "--set", "evaluate.protocols=teacher_forced", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = [json.loads((run / "record.json").read_text()) for run in runs(tmp_path).values()]
    assert [record["model"]["load"] for record in records] == 2 * [{"bits": 8, "attn_implementation": "eager"}]


def test_an_adapter_from_elsewhere_is_scored_on_it(finished: Path, tmp_path: Path) -> None:
    run = runs(finished)["lora"]
    write(tmp_path, methods="[{name: checkpoint, label: theirs, path: ./adapter}]")
    done = secura_bench("export", str(run), str(tmp_path / "adapter"), "--to", "peft", cwd=finished)
    assert done.returncode == 0, done.stderr
    done = secura_bench("run", "spec.yaml", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((runs(tmp_path)["theirs"] / "record.json").read_text())["model"]["label"] == "small-4bit"
