"""Memory: what a plan says, held against what autograd keeps, what tensors take at their peak, and processes."""

from __future__ import annotations

import gc
import importlib.util
import sys
from typing import Any

import pytest
import torch
from conftest import ROOT, example
from kept_bytes import kept_bytes
from torch.profiler import ProfilerActivity, profile

from secura_bench.data.collate import collate
from secura_bench.estimates.activations import Batch, activations
from secura_bench.estimates.formulas import count_on_shape
from secura_bench.estimates.memory import Scoring, memory_of, optimizer_bytes
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.models.load import find_model, load_model, shape_of
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.groups import groups_of
from secura_bench.training.optimizers import new_optimizer
from secura_bench.training.precision import new_accelerator, prepare_training, weights_dtype

_found = importlib.util.spec_from_file_location("measure_plan", ROOT / "scripts" / "measure_plan.py")
assert _found and _found.loader
measure_plan = importlib.util.module_from_spec(_found)
sys.modules["measure_plan"] = measure_plan
_found.loader.exec_module(measure_plan)

LIMIT = 0.15
CONFIGS = {
    "small": {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 6, "num_attention_heads": 8,
              "num_key_value_heads": 2, "vocab_size": 1000},
    "wide": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 4, "vocab_size": 20000},
    "square": {"hidden_size": 512, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 8,
               "num_key_value_heads": 8, "vocab_size": 128},
}  # fmt: skip
RANKS = {"r": 8, "m": 12}


def built(family: str, config: dict[str, Any], precision: Any) -> Any:
    """Return a model of random weights, in the dtype that a run of ``precision`` loads."""
    from transformers import AutoConfig, AutoModelForCausalLM

    own = {"max_position_embeddings": 256, "tie_word_embeddings": True}
    if family.startswith("gemma"):
        own |= {"head_dim": 16, "sliding_window": 256}
    made = AutoConfig.for_model(family, **config, **own)
    return AutoModelForCausalLM.from_config(made).to(weights_dtype(precision)), made


@pytest.mark.parametrize(
    ("family", "precision"),
    [
        ("llama", "fp32"),
        ("llama", "bf16"),
        ("llama", "bf16_pure"),
        ("qwen2", "bf16"),
        ("gemma2", "fp32"),
        ("gemma2", "bf16"),
        ("gemma3_text", "fp32"),
        ("gemma3_text", "bf16"),
    ],
)
@pytest.mark.parametrize(
    ("name", "options", "settings"),
    [
        ("seq", {}, {}),
        ("seq", {}, {"gradient_checkpointing": True}),
        ("seq", {}, {"parameters": "targets"}),
        ("lora", {}, {}),
        ("lora", {"dropout": 0.0}, {}),
        ("lora", {"target_modules": ["k_proj", "o_proj", "gate_proj", "down_proj"]}, {}),
        ("lora", {}, {"gradient_checkpointing": True}),
        ("dora", {}, {}),
        ("cabr_lora", RANKS, {}),
        ("secura", RANKS, {}),
        ("secura", {**RANKS, "fusion_step": 20}, {}),
        ("secura", {**RANKS, "signorm": "public_code"}, {}),
        ("i_lora", {}, {}),
        ("stack", {"parts": ["er", {"name": "lora"}]}, {}),
    ],
)
def test_activations_are_those_that_autograd_keeps(
    name: str, options: dict[str, Any], settings: dict[str, Any], family: str, precision: Any
) -> None:
    """Of a model of six layers, within 15 %, with so few tokens that weights made on the way weigh."""
    from secura_bench.models.shape import Shape

    method = build_method(name, **options)
    train = TrainSpec(precision=precision, **settings)
    model, config = built(family, CONFIGS["small"], precision)
    shape = Shape.from_config(family, config.to_dict())
    model = method.attach(model).train()
    prepare_training(model, train)
    model = new_accelerator(precision, cpu=True).prepare_model(model)
    length = 30
    batch = collate([example(length - i, 8, seed=i) for i in range(3)], 0)
    everything = name == "seq" and not settings.get("parameters")
    measured = kept_bytes(model, lambda: method.loss(model, batch))
    if precision == "bf16":  # the cast weights, which a plan counts among the weights
        cast = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
        head = shape.embedding * everything
        measured -= 2 * (sum(p.numel() for p in cast) if not train.gradient_checkpointing else head)
    estimate = activations(method.footprint(), shape, train, everything, Batch(3, length, 8)).saved
    estimate += method.footprint().kept_logits / 2 * 3 * 8 * shape.vocabulary * 4  # of which half is kept
    assert estimate == pytest.approx(measured, rel=LIMIT)


def peak(point: Any) -> int:
    """Return the most bytes that all tensors had together while ``point`` was done."""
    gc.collect()  # what is freed within was not made there
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        measure_plan.do(point)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = top = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        top = max(top, live)
    return top


EWC = {"fisher_samples": 2}
CORDA = {
    "peft_type": "lora", "config": {"init_lora_weights": "corda", "corda_config": {"corda_method": "kpm"}},
    "from": "rows", "rows": 2, "boundary": "renew",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "settings", "tasks", "size"),
    [
        ("base", {}, {}, 1, "small"),
        ("seq", {}, {}, 1, "small"),
        ("seq", {}, {"gradient_checkpointing": True}, 1, "small"),
        ("seq", {}, {"micro_batch_size": 2}, 1, "small"),
        ("seq", {}, {"parameters": "targets"}, 1, "small"),
        ("seq", {}, {"precision": "bf16_pure"}, 1, "small"),
        ("seq", {}, {"precision": "bf16_stochastic"}, 1, "small"),
        ("seq", {}, {"optimizer": "adafactor"}, 1, "small"),
        ("seq", {}, {"optimizer": "adafactor"}, 1, "wide"),
        ("seq", {}, {}, 1, "wide"),
        ("seq", {}, {"kernels": "chunked"}, 1, "wide"),
        ("lora", {}, {"kernels": "chunked", "gradient_checkpointing": True}, 1, "wide"),
        ("i_lora", {}, {}, 1, "wide"),
        ("ewc", EWC, {}, 2, "wide"),
        ("ewc", EWC, {}, 3, "wide"),
        ("lora", {}, {}, 1, "small"),
        ("lora", {}, {"precision": "bf16"}, 1, "small"),
        ("lora", {}, {"gradient_checkpointing": True}, 1, "small"),
        ("dora", {}, {}, 1, "small"),
        ("secura", RANKS, {}, 1, "small"),
        ("secura", {**RANKS, "fusion_step": 20}, {}, 1, "small"),
        ("i_lora", {}, {}, 1, "small"),
        ("er", {}, {}, 2, "small"),
        ("ewc", EWC, {}, 2, "small"),
        ("ewc", EWC, {"micro_batch_size": 1}, 3, "small"),
        ("ewc", {**EWC, "dtype": "bf16"}, {"batch_size": 1}, 3, "small"),
        ("ewc", {**EWC, "fisher_dtype": "bf16"}, {"batch_size": 1}, 3, "small"),
        ("ewc", {**EWC, "variant": "separate"}, {"batch_size": 1}, 3, "small"),
        ("lora", {"init_lora_weights": "pissa", "boundary": "renew"}, {"batch_size": 1}, 2, "square"),
        ("peft", CORDA, {"batch_size": 1}, 2, "square"),
        ("peft", CORDA, {"batch_size": 1}, 1, "wide"),
        ("stack", {"parts": ["lora", {"name": "ewc", **EWC}]}, {}, 3, "small"),
        ("stack", {"parts": ["er", {"name": "ewc", **EWC}]}, {}, 2, "small"),
        ("lwf", {}, {}, 2, "small"),
        ("o_lora", {"r": 64}, {}, 4, "small"),
    ],
)
def test_a_runs_peak_is_what_a_plan_says(
    monkeypatch: Any, name: str, options: dict[str, Any], settings: dict[str, Any], tasks: int, size: str
) -> None:
    """Weights, gradients, moments, activations and what is held, from the first step to the last boundary."""
    monkeypatch.setitem(measure_plan.SHAPES, size, CONFIGS[size])
    batch = settings.get("batch_size", 6)
    answers = 60 if "kernels" in settings else 8  # of so many tokens in chunks, two
    point = measure_plan.Point(name, size, batch, 64, options, settings, tasks, answers)
    assert measure_plan.estimated(point) == pytest.approx(peak(point), rel=LIMIT)


@pytest.mark.parametrize(
    ("options", "fisher", "anchor"),
    [
        ({}, 4, 4),
        ({"dtype": "bf16"}, 2, 2),
        ({"fisher_dtype": "bf16"}, 2, 4),
        ({"device": "cpu"}, 4, 4),
        ({"variant": "separate"}, 4, 4),
    ],
)
def test_a_new_fisher_comes_beside_the_old_one(options: dict[str, Any], fisher: int, anchor: int) -> None:
    """At the second boundary of three tasks, and beside the old anchor where that is still asked for."""
    footprint, shape = build_method("ewc", **options).footprint(), shape_of("llama3-8b")
    count, train = count_on_shape(footprint, shape), TrainSpec(precision="bf16_stochastic", gradient_checkpointing=True)
    scoring = Scoring(1, 512, 64, 0, ("teacher_forced",))
    two, three = (memory_of(footprint, count, shape, train, scoring, 64, tasks) for tasks in (2, 3))
    boundary = fisher + 4 + anchor * (options.get("variant") == "separate")
    on_cpu = options.get("device") == "cpu"
    assert sum(footprint.held_memory(count)) == (fisher + anchor) * count.trainable
    assert (three.host if on_cpu else three.held) == max(fisher + anchor, boundary) * count.trainable
    assert two.held + two.host == max(fisher + anchor, 4) * count.trainable
    assert not (three.held if on_cpu else three.host)


@pytest.mark.parametrize(("options", "gib"), [({}, 59.8), ({"fisher_dtype": "bf16"}, 44.9)])
def test_ewc_on_8b_takes_less_than_64_gib_of_the_host(options: dict[str, Any], gib: float) -> None:
    footprint, shape = build_method("ewc", device="cpu", **options).footprint(), shape_of("llama3-8b")
    train = TrainSpec(precision="bf16_stochastic", gradient_checkpointing=True)
    scoring = Scoring(1, 512, 64, 0, ("teacher_forced",))
    memory = memory_of(footprint, count_on_shape(footprint, shape), shape, train, scoring, 64, tasks=8)
    assert memory.host / 2**30 == pytest.approx(gib, abs=0.1)


def test_a_sum_counts_gradients_and_activations_as_they_meet() -> None:
    """Few rows: all gradients at the end of the pass. Many: all activations at its start. Never both."""
    footprint, shape, train = build_method("seq").footprint(), shape_of("smollm2-135m"), TrainSpec(precision="fp32")
    count, scoring = count_on_shape(footprint, shape), Scoring(1, 128, 16, 0, ("teacher_forced",))
    few, many, split = (
        memory_of(footprint, count, shape, train.model_copy(update=changes), scoring, 1)
        for changes in ({"batch_size": 1}, {"batch_size": 64}, {"batch_size": 64, "micro_batch_size": 32})
    )
    assert few.gradients + few.activations - few.apart == few.gradients + 8 * shape.largest
    assert many.apart == many.gradients - 4 * shape.embedding
    assert split.apart == 0


def test_rows_that_are_cut_by_length_are_planned_as_all_of_them_beside_gradients() -> None:
    """No part has more tokens than the step; others came before it, and their gradients are there."""
    footprint, shape, train = build_method("seq").footprint(), shape_of("smollm2-135m"), TrainSpec(precision="fp32")
    count, scoring = count_on_shape(footprint, shape), Scoring(1, 128, 16, 0, ("teacher_forced",))
    whole, auto, one, one_auto = (
        memory_of(footprint, count, shape, train.model_copy(update=changes), scoring, 1)
        for rows in (8, 1)
        for changes in ({"batch_size": rows}, {"batch_size": rows, "micro_batch_size": "auto"})
    )
    assert auto.activations >= whole.activations and auto.gradients == whole.gradients
    assert whole.apart > 0 and auto.apart == 0 and one_auto == one


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
@pytest.mark.parametrize("precision", ["fp32", "bf16_pure"])
def test_optimizer_state_is_as_large_as_estimated(optimizer: str, precision: str) -> None:
    train = TrainSpec(optimizer=optimizer, precision=precision)
    model = load_model(find_model("tiny"))
    prepare_training(model, train)
    chosen = new_optimizer(groups_of(Method(), model, train), train)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    chosen.step()
    states = [value for state in chosen.state.values() for value in state.values()]
    measured = sum(value.numel() * value.element_size() for value in states if isinstance(value, torch.Tensor))
    shape = shape_of("tiny")
    estimate = optimizer_bytes(shape.parameters, train, shape)
    assert measured <= estimate * 1.2 and (optimizer == "adafactor" or estimate <= measured * 1.01)
