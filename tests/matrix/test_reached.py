"""Adapters on modules that a model never calls are refused before they train; what is only idle is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import SPEC, secura_bench
from torch import Tensor, nn
from zoo import build, calls, shapes, write

from secura_bench.adapters.cur_layers import CURLoRALinear
from secura_bench.adapters.reached import refuse_unreached
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.spec.sections import TrainSpec
from secura_bench.spec.types import Precision
from secura_bench.training.precision import prepare_training

TRAIN = TrainSpec(lr=1e-3, steps=1, batch_size=1)


def skip_where_called(row: str) -> None:
    """Skip where transformers' model calls its dt_proj as any other module: nothing is idle there."""
    if calls(row, "dt_proj"):
        pytest.skip(f"{row} calls its dt_proj in this version of transformers")


@pytest.mark.parametrize(
    ("row", "method", "path"),
    [
        ("jamba", {"name": "peft", "peft_type": "lora", "config": {"target_modules": "all-linear"}}, "layers.0.mamba"),
        ("mamba", {"name": "lora", "target_modules": ["dt_proj"]}, "layers.0.mixer"),
        ("mamba", {"name": "cur_lora", "r": 2, "target_modules": ["in_proj", "dt_proj"]}, "layers.0.mixer"),
        ("mamba", {"name": "i_lora", "r": 2, "target_modules": ["dt_proj"]}, "layers.0.mixer"),
    ],
    ids=str,
)
def test_a_weight_that_the_model_computes_with_itself(row: str, method: dict[str, Any], path: str) -> None:
    skip_where_called(row)
    options = {key: value for key, value in method.items() if key != "name"}
    attached = build_method(method["name"], **options).attach(build(row))
    with pytest.raises(SpecError, match=rf"{path}.dt_proj and never calls the module.*leave dt_proj out"):
        prepare_training(attached, TRAIN)


def test_the_way_out() -> None:
    config = {"target_modules": "all-linear", "exclude_modules": ["dt_proj"]}
    model = build_method("peft", peft_type="lora", config=config).attach(build("jamba"))
    prepare_training(model, TRAIN)
    assert any("mamba" in name for name, parameter in model.named_parameters() if parameter.requires_grad)


def test_no_run_trains_it(tmp_path: Path) -> None:
    skip_where_called("mamba")
    spec = SPEC.replace("model: tiny", f"model: {write('mamba', tmp_path / 'm')}")
    spec = spec.replace("{name: lora, r: 2}", "{name: lora, r: 2, target_modules: [dt_proj]}")
    (tmp_path / "spec.yaml").write_text(spec)
    done = secura_bench("run", "spec.yaml", cwd=tmp_path)
    assert done.returncode and "never calls the module" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not list(tmp_path.rglob("trained.safetensors"))


class Experts(nn.Module):
    """A model of two experts, of which ``router`` calls one, or computes with the weight of the other too."""

    def __init__(self, *, past: bool) -> None:
        super().__init__()
        self.words, self.past = nn.Embedding(16, 4), past
        self.one, self.other = (CURLoRALinear(nn.Linear(4, 4), *torch.tensor([[0, 1], [2, 3]])) for _ in range(2))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> Any:
        """Return the logits."""
        states = self.one(self.words(input_ids))
        return SimpleNamespace(logits=states @ self.other.weight if self.past else states)


def test_an_expert_that_no_token_came_to_is_not_refused() -> None:
    refuse_unreached(Experts(past=False))
    with pytest.raises(SpecError, match="the weight of other and never calls"):
        refuse_unreached(Experts(past=True))


def test_asking_leaves_no_trace() -> None:
    skip_where_called("mamba")
    model = build_method("lora", target_modules=["dt_proj"]).attach(build("mamba")).train()
    model.get_submodule("base_model.model.backbone.layers.0").eval()
    before = [(p.requires_grad, p.grad) for p in model.parameters()], [m.training for m in model.modules()]
    drawn = torch.get_rng_state()
    with pytest.raises(SpecError):
        refuse_unreached(model)
    assert before == ([(p.requires_grad, p.grad) for p in model.parameters()], [m.training for m in model.modules()])
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("precision", ["bf16", "bf16_pure"])
@pytest.mark.parametrize(
    "method",
    [
        {"name": "secura", "r": 4, "m": 6, "adapter_bias": True},
        {"name": "secura", "r": 4, "m": 6, "signorm": "public_code"},
        {"name": "peft", "peft_type": "ln_tuning"},
        {"name": "dora"},
    ],
    ids=str,
)
def test_it_is_asked_in_the_precision_of_the_run(method: dict[str, Any], precision: Precision) -> None:
    options = {key: value for key, value in method.items() if key != "name"}
    model = build_method(method["name"], **options).attach(build("llama").to(torch.bfloat16))
    prepare_training(model, TRAIN.model_copy(update={"precision": precision}))


def test_shapes_alone_tell_nothing() -> None:
    refuse_unreached(build_method("lora", target_modules=["dt_proj"]).attach(shapes("mamba")))


@pytest.mark.parametrize("name", ["cur_lora", "i_lora"])
def test_a_module_in_the_place_of_a_linear_one_shows_its_weight(name: str) -> None:
    options = {"r": 2, "target_modules": ["lm_head"], "boundary": "continue"}
    base = build("mamba")
    head = base.lm_head
    adapted = build_method(name, **options).attach(base)
    assert adapted.lm_head is not head
    assert adapted.lm_head.weight is head.weight and adapted.lm_head.bias is head.bias
