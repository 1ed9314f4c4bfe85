"""The weights' norm before and after: of whatever modules a method adapts, fused and transposed ones too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import SPEC, secura_bench
from sessions import build_model

from secura_bench.methods.build import build_method
from secura_bench.results.read import read_record
from secura_bench.training.norms import frobenius, linear_weights


def test_norms_are_of_the_adapted_modules(tmp_path: Path, tiny) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("r: 2", "r: 2, target_modules: [k_proj, down_proj]"))
    small = ["log.weight_norms=true", "evaluate.protocols=teacher_forced", "evaluate.limit=1", "probe_rows=3"]
    words = [word for override in small for word in ("--set", override)]
    done = secura_bench("run", "spec.yaml", "--quiet", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = (path for path in tmp_path.rglob("record.json") if "lora" in path.parent.name)
    norms = read_record(path).weight_norms
    assert norms is not None and norms.keys() == {"before", "former", "updated"}
    for moment in norms.values():
        assert moment.keys() == {"k_proj", "down_proj"}
    layers = tiny[0].model.layers
    wanted = sum(float(torch.linalg.matrix_norm(layer.self_attn.k_proj.weight.detach())) for layer in layers) / len(
        layers
    )
    assert norms["before"]["k_proj"] == pytest.approx(wanted)


def test_a_conv1ds_norm_is_its_weights() -> None:
    model = build_model("gpt2")
    before = frobenius(linear_weights(model))
    attached = build_method("cur_lora", r=4, target_modules=["c_attn"]).attach(model)
    after = frobenius(build_method("cur_lora").weights(attached))
    assert after == {"c_attn": pytest.approx(before["c_attn"])}
