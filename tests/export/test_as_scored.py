"""A model as it is scored, written from where it stands, says what it says there; so does its adapter on the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import random_llama
from torch import nn

from secura_bench.export.as_scored import write_as_scored
from secura_bench.export.low_rank import low_rank, write_adapter
from secura_bench.foundation.errors import BenchError
from secura_bench.methods.build import build_method
from secura_bench.methods.lending import attached
from secura_bench.models.load import ModelFolder, load_model, shapes_in

IDS = torch.randint(3, 64, (2, 12), generator=torch.Generator().manual_seed(1))
ADAPTED = {
    "lora": {"r": 2},
    "o_lora": {"r": 2},
    "cur_lora": {"r": 4},
    "cabr_lora": {"r": 4, "m": 6},
    "secura": {"r": 4, "m": 6, "signorm": "off"},
    "peft": {"peft_type": "lora", "config": {"r": 2, "use_rslora": True, "rank_pattern": {"v_proj": 3}}},
}
"""Methods whose result is one product B A a module."""
WRITTEN = {
    "seq": {},
    "dora": {"r": 2},
    "secura": {"r": 4, "m": 6},
    "peft": {"peft_type": "ia3", "config": {"feedforward_modules": []}},
    "i_lora": {"r": 2},
}
"""Methods whose result is other weights."""


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    path = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    random_llama(tie_word_embeddings=True).save_pretrained(path)
    return ModelFolder("random", path, "of this process")


def trained(name: str, options: dict[str, Any], base: ModelFolder) -> tuple[Any, nn.Module]:
    """Return a method and its model with its trained tensors moved away from where they start."""
    method = build_method(name, **options)
    model = attached(method, load_model(base))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    method.after_step(model, torch.optim.SGD(model.parameters()))
    return method, model


@pytest.mark.parametrize("name", ADAPTED)
def test_an_adapter_is_a_stock_lora(name: str, base: ModelFolder, tmp_path: Path) -> None:
    from peft import PeftModel

    method, model = trained(name, ADAPTED[name], base)
    with method.evaluating(model) as view:
        pairs = low_rank(method, view, shapes_in(base).state_dict())
        said = logits(view)
    assert pairs and write_adapter(pairs, tmp_path) == max(len(A) for A, _ in pairs.values())
    stock = load_model(base)
    assert not torch.allclose(said, logits(stock), atol=1e-2)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(stock, str(tmp_path))), said, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "options"), [*ADAPTED.items(), *WRITTEN.items()], ids=lambda case: str(case)[:12])
def test_weights_are_what_is_scored(name: str, options: dict[str, Any], base: ModelFolder, tmp_path: Path) -> None:
    method, model = trained(name, options, base)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with method.evaluating(model) as view:
        said = logits(view)
        assert name in ADAPTED or low_rank(method, view, shapes_in(base).state_dict()) is None
        write_as_scored(method, view, base, torch.float32, tmp_path)
    assert not torch.allclose(said, logits(load_model(base)), atol=1e-2)
    again = load_model(ModelFolder("written", tmp_path, "of this process"))
    torch.testing.assert_close(logits(again), said, atol=1e-5, rtol=1e-4)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items()), "it is as it was"


def test_what_was_merged_is_no_adapter_of_the_base(base: ModelFolder, tmp_path: Path) -> None:
    from secura_bench.data.example import Task

    method, model = trained("lora", {"r": 2}, base)
    method.end_task(model, Task("one", 0, (), 2))
    assert low_rank(method, model, shapes_in(base).state_dict()) is None
    write_as_scored(method, model, base, torch.float32, tmp_path)
    again = load_model(ModelFolder("written", tmp_path, "of this process"))
    torch.testing.assert_close(logits(again), logits(model), atol=1e-5, rtol=1e-4)


def test_an_adapted_head_is_untied(base: ModelFolder, tmp_path: Path) -> None:
    options = {"peft_type": "lora", "config": {"r": 2}, "target_modules": ["lm_head", "q_proj"]}
    method, model = trained("peft", options, base)
    assert low_rank(method, model, shapes_in(base).state_dict()) is None
    write_as_scored(method, model, base, torch.float32, tmp_path)
    again = load_model(ModelFolder("written", tmp_path, "of this process"))
    torch.testing.assert_close(logits(again), logits(model), atol=1e-5, rtol=1e-4)


def test_a_bias_is_no_weight(base: ModelFolder, tmp_path: Path) -> None:
    method, model = trained("secura", {"r": 4, "m": 6, "adapter_bias": True}, base)
    assert low_rank(method, model, shapes_in(base).state_dict()) is None
    with pytest.raises(BenchError, match="adds a bias"):
        write_as_scored(method, model, base, torch.float32, tmp_path)
