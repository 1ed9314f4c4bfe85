"""What methods that train adapters share: boundaries, starts, the layers they refuse, and parameters by shape."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secura_bench.data.collate import collate
from secura_bench.data.example import Task
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.cur_adapter import layers


@pytest.mark.parametrize("name", ["lora", "dora", "cur_lora", "cabr_lora", "secura"])
def test_boundary_merge_keeps_the_function(llama, examples, name: str) -> None:
    sizes = {"cur_lora": {"r": 4}, "cabr_lora": {"r": 4, "m": 6}, "secura": {"r": 4, "m": 6, "signorm": "off"}}
    method = build_method(name, **sizes.get(name, {}), **({"fusion_step": 9} if name == "secura" else {}))
    model = method.attach(llama()).eval()
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if path.endswith((".U", ".B", "lora_B.default.weight")):
                parameter.normal_(std=0.1)
    batch = collate(examples, pad_id=0)
    before = model(input_ids=batch.input_ids).logits
    method.end_task(model, Task("t", 0, examples, count=2))
    assert torch.allclose(model(input_ids=batch.input_ids).logits, before, atol=1e-4)
    zeroed = [p for path, p in model.named_parameters() if path.endswith((".U", ".B", "lora_B.default.weight"))]
    assert zeroed and not any(p.any() for p in zeroed)
    kept = build_method(name, **sizes.get(name, {}), **({} if name == "secura" else {"boundary": "continue"}))
    if name != "secura":
        again = kept.attach(llama())
        with torch.no_grad():
            for path, parameter in again.named_parameters():
                if path.endswith((".U", ".B", "lora_B.default.weight")):
                    parameter.fill_(0.1)
        kept.end_task(again, Task("t", 0, examples, count=2))
        assert not kept.merges
        assert all(
            p.any() for path, p in again.named_parameters() if path.endswith((".U", ".B", "lora_B.default.weight"))
        )


@pytest.mark.parametrize(
    ("options", "stays"),
    [
        ({"fusion_step": 20, "boundary": "continue"}, True),
        ({"fusion_step": 20}, False),
        ({"merge": "none", "boundary": "continue"}, True),
        ({"merge": "none"}, False),
    ],
)
def test_secura_obeys_its_boundary(llama, examples, options: dict, stays: bool) -> None:
    method = build_method("secura", r=4, m=6, **options)
    model = method.attach(llama())
    with torch.no_grad():
        for layer in layers(model):
            layer.B.normal_()
    method.after_step(model, None)
    method.end_task(model, Task("t", 0, examples, count=1))
    assert all(layer.B.any() for layer in layers(model)), "a run of one task has no boundary"
    method.end_task(model, Task("t", 0, examples, count=2))
    assert all(bool(layer.B.any()) == stays for layer in layers(model))
    assert method.merges == (method.options.merge != "none" or not stays)


@pytest.mark.parametrize("init", ["pissa", "olora", "orthogonal", "gaussian", False])
def test_starts_of_lora(llama, init) -> None:
    """Every start computes what the base does, but for the one that says it does not; all can be tried on shapes."""
    method = build_method("lora", init_lora_weights=init, dropout=0.0)
    ids = torch.randint(0, 64, (2, 9))
    base = llama()
    logits = base(ids).logits
    again = llama()
    again.load_state_dict(base.state_dict())
    moved = not torch.allclose(method.attach(again)(input_ids=ids).logits, logits, atol=1e-3)
    assert moved == (not method.starts_as_base)
    build_method("lora", init_lora_weights=init).attach(llama().to("meta"))
    with pytest.raises(SpecError, match="init_lora_weights"):
        build_method("lora", init_lora_weights="foo")


def test_quantised_weights_are_refused() -> None:
    class Packed(nn.Linear):
        """Stands for a 4-bit layer: a linear one whose weight is packed into bytes."""

    packed = Packed(8, 8)
    packed.weight = nn.Parameter(torch.zeros(32, 1, dtype=torch.uint8), requires_grad=False)
    model = nn.ModuleDict({"q_proj": packed, "v_proj": nn.Linear(8, 8)})
    with pytest.raises(SpecError, match=r"quantised.*model_load"):
        build_method("cur_lora", r=2).attach(model)
    with pytest.raises(SpecError, match="boundary: continue"):
        build_method("lora").attach(model)


def test_gpt2_and_fused_projections_are_refused_by_name() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2, n_positions=32))
    with pytest.raises(SpecError, match=r"is a Embedding; this method adapts nn.Linear and Conv1D alone\."):
        build_method("secura", r=2, m=4, target_modules=["wte"]).attach(model)
    with pytest.raises(SpecError, match="c_attn"):
        build_method("secura", r=2, m=4).attach(model)
    fused = nn.ModuleDict({"qkv_proj": nn.Linear(8, 24)})
    with pytest.raises(SpecError, match="qkv_proj"):
        build_method("lora").attach(fused)


LLAMA3 = {"q_proj": (4096, 4096), "v_proj": (1024, 4096)}
SQUARE = {"q_proj": (4096, 4096), "v_proj": (4096, 4096)}


@pytest.mark.parametrize(
    ("name", "square", "llama3"),
    [
        ("lora", 131_072, 106_496),
        ("dora", 139_264, 111_616),
        ("cur_lora", 45_000, 45_000),
        ("cabr_lora", 120_000, 120_000),
        ("secura", 120_000, 120_000),
    ],
)
def test_parameters_a_layer(name: str, square: int, llama3: int) -> None:
    """From shapes alone, against the closed form at width 4096."""
    ranks = {"cur_lora": {"r": 150}, "cabr_lora": {"r": 150, "m": 200}, "secura": {"r": 150, "m": 200}}
    for shapes, expected in ((SQUARE, square), (LLAMA3, llama3)):
        with torch.device("meta"):
            layer = nn.ModuleDict({path: nn.Linear(d, h, bias=False) for path, (h, d) in shapes.items()})
            model = nn.Sequential(layer)
        method = build_method(name, **ranks.get(name, {}))
        count = method.count_parameters(method.attach(model))
        assert count.trainable == count.per_layer == expected
