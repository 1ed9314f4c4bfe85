"""Plans of GPT-2's layout, against real modules of a small model: counts, and what autograd keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import example
from kept_bytes import kept_bytes

from secura_bench.data.collate import collate
from secura_bench.estimates.activations import Batch, activations
from secura_bench.estimates.formulas import count_on_shape, restricted
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.models.layouts import shape_from
from secura_bench.models.shape import Shape
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.precision import new_accelerator, prepare_training, weights_dtype

RANKS = {"r": 8, "m": 12}
ATTENTION = {"target_modules": ["c_attn"]}


def small(**changes: Any) -> tuple[torch.nn.Module, Shape]:
    """Return a model of six layers, and its shape."""
    from transformers import AutoModelForCausalLM, GPT2Config

    sizes = {"n_embd": 128, "n_layer": 6, "n_head": 8, "n_positions": 256, "vocab_size": 1000}
    config = GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, **changes)
    shape = shape_from("gpt2", config.to_dict())
    assert shape is not None
    return AutoModelForCausalLM.from_config(config), shape


@pytest.mark.parametrize("changes", [{}, {"n_inner": 96, "tie_word_embeddings": False}])
def test_a_shape_has_the_names_and_sizes_of_the_model(changes: Any) -> None:
    model, shape = small(**changes)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    built = {path: p.shape for path, p in model.named_parameters()}
    assert {path: p.shape for path, p in shape.skeleton().named_parameters()} == built
    assert shape.largest == max(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("seq", {}),
        ("head_only", {}),
        ("lora", ATTENTION),
        ("lora", {"target_modules": ["c_proj"]}),
        ("cur_lora", {"r": 8, **ATTENTION}),
        ("secura", {**RANKS, **ATTENTION}),
        ("peft", {"peft_type": "lora", "config": {"r": 4, **ATTENTION, "fan_in_fan_out": True}}),
    ],
)
def test_parameters_are_counted_as_methods_count_them(name: str, options: Any) -> None:
    model, shape = small()
    method = build_method(name, **options)
    found = count_on_shape(method.footprint(), shape)
    assert found == method.count_parameters(method.attach(model))


@pytest.mark.parametrize(
    ("name", "options", "precision", "dropout"),
    [
        ("seq", {}, "fp32", 0.1),
        ("seq", {}, "bf16", 0.1),
        ("seq", {}, "fp32", 0.0),
        ("lora", ATTENTION, "fp32", 0.1),
        ("lora", ATTENTION, "bf16", 0.1),
        ("lora", ATTENTION, "bf16_pure", 0.0),
        ("lora", {"target_modules": ["c_proj", "c_fc"]}, "fp32", 0.1),
        ("secura", {**RANKS, **ATTENTION, "fusion_step": 20}, "fp32", 0.1),
    ],
)
def test_activations_are_those_that_autograd_keeps(name: str, options: Any, precision: Any, dropout: float) -> None:
    """Of a model of six layers, within 6 %; the cast weights under autocast are counted among the weights."""
    model, shape = small(attn_pdrop=dropout, resid_pdrop=dropout, embd_pdrop=dropout)
    method, train = build_method(name, **options), TrainSpec(precision=precision)
    model = method.attach(model.to(weights_dtype(precision))).train()
    prepare_training(model, train)
    model = new_accelerator(precision, cpu=True).prepare_model(model)
    batch = collate([example(30 - i, 8, seed=i) for i in range(3)], 0)
    measured = kept_bytes(model, lambda: method.loss(model, batch))
    if precision == "bf16":
        measured -= 2 * sum(p.numel() for p in model.parameters() if p.requires_grad and p.dim() > 1)
    estimate = activations(method.footprint(), shape, train, name == "seq", Batch(3, 30, 8))
    assert estimate.saved == pytest.approx(measured, rel=0.06)


def test_query_and_value_cannot_be_trained_alone_where_they_are_no_modules() -> None:
    _, shape = small()
    count = count_on_shape(build_method("seq").footprint(), shape)
    assert restricted(count, shape, TrainSpec()) == count
    with pytest.raises(SpecError, match="no layer of gpt2 has q_proj and v_proj"):
        restricted(count, shape, TrainSpec(parameters="targets"))
