"""The weights' norm before and after: of whatever modules a method adapts, fused and transposed ones too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import SPEC, secura_bench
from sessions import build_model

from secura_bench.methods.build import build_method
from secura_bench.results.read import read_record
from secura_bench.training.norms import copied, frobenius, linear_weights, relative_change


def test_norms_are_of_the_adapted_modules(tmp_path: Path, tiny) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("r: 2", "r: 2, target_modules: [k_proj, down_proj]"))
    small = ["log.weight_norms=true", "evaluate.protocols=teacher_forced", "evaluate.limit=1", "probe_rows=3"]
    words = [word for override in small for word in ("--set", override)]
    done = secura_bench("run", "spec.yaml", "--quiet", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = (path for path in tmp_path.rglob("record.json") if "lora" in path.parent.name)
    norms = read_record(path).weight_norms
    assert norms is not None and norms.keys() == {"before", "former", "updated", "moved"}
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


def test_it_is_the_norm_of_the_change_over_the_bases_and_not_the_change_of_the_norm() -> None:
    """A rotation leaves the norm as it was, and moves every entry."""
    W = torch.eye(2)
    before = copied([("layers.0.q_proj", W), ("layers.1.q_proj", W)])
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]])  # ‖R − I‖ = 2, ‖I‖ = √2
    now = [("base_model.model.layers.0.q_proj", quarter), ("layers.1.q_proj", 1.5 * W), ("layers.0.k_proj", W)]
    assert relative_change(before, now) == {"q_proj": pytest.approx((2 / 2**0.5 + 0.5) / 2)}


def test_what_is_copied_stays_when_the_weight_moves() -> None:
    W = torch.ones(2, 2)
    before = copied([("q_proj", W)])
    W.mul_(2)
    assert relative_change(before, [("q_proj", W)]) == {"q_proj": pytest.approx(1.0)}
