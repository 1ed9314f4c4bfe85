"""A model computes what its config says, whatever this version of transformers would choose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config

from secura_bench.models.config import configuration
from secura_bench.models.load import find_model, load_model
from secura_bench.models.sound import load_sound

SIZES = {
    "vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8,
}  # fmt: skip


@pytest.mark.parametrize("cap", [5.0, None])
def test_a_soft_cap_is_not_left_out(tmp_path: Path, cap: float | None) -> None:
    """Fused attention knows none; the plain one, written out, does."""
    torch.manual_seed(0)
    config = Gemma2Config(**SIZES, attn_logit_softcapping=cap)
    written = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for parameter in written.parameters():
        torch.nn.init.normal_(parameter, std=0.5)  # logits far above the cap
    written.save_pretrained(tmp_path)
    assert (configuration(tmp_path)._attn_implementation == "eager") is (cap is not None)
    rows = torch.arange(24).reshape(2, 12)
    with torch.no_grad():
        torch.testing.assert_close(load_sound("m", tmp_path, torch.float32).eval()(rows).logits, written(rows).logits)


def test_code_that_a_model_brings_is_never_run_and_said(tmp_path: Path) -> None:
    """Many a model of a type that transformers knows names code of its own as well."""
    shutil.copytree(find_model("tiny").path, tmp_path / "mine")
    path, ran = tmp_path / "mine" / "config.json", tmp_path / "ran"
    (tmp_path / "mine" / "modeling.py").write_text(f"open({str(ran)!r}, 'w')", encoding="utf-8")
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "modeling.Mine"}}), encoding="utf-8")
    told: list[str] = []
    model = load_model(find_model(str(tmp_path / "mine")), tell=told.append)
    (note,) = told
    assert "code of its own (auto_map), which is never run" in note and type(model).__name__ in note
    assert not ran.exists()
