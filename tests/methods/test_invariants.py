"""Every method against what must hold for all of them: a row is a method, a column an invariant."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from sessions import Session, assert_resumes, build_model, tasks

from secura_bench.adapters.put_back import put_back
from secura_bench.adapters.signorm import resting_restraint
from secura_bench.adapters.stand_in import stand_ins
from secura_bench.data.collate import collate
from secura_bench.methods.build import build_method
from secura_bench.models.head import answer_logits

SMALL = {"r": 4, "m": 6}


@dataclass(frozen=True)
class Case:
    """A method, its options, the names of its trained tensors (None: the whole model), what its start divides by."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    trained: tuple[str, ...] | None = None
    start: float = 1.0
    lr: float = 1e-2
    kinds: tuple[str, ...] = ("llama", "qwen2", "gemma2")

    def __str__(self) -> str:
        return "-".join([self.name, *(str(value) for value in self.options.values() if isinstance(value, str))])


ANY = ("llama", "qwen2", "gemma2", "gpt2")
RES = resting_restraint(6.0)
LORA = ("lora_A", "lora_B")
CASES = [
    Case("seq", lr=1e-3, kinds=ANY),
    Case("mtl", lr=1e-3, kinds=ANY),
    Case("ewc", {"fisher_samples": 4}, lr=1e-3, kinds=ANY),
    Case("er", {"capacity": 8}, lr=1e-3, kinds=ANY),
    Case("der", {"capacity": 8}, lr=1e-3, kinds=("llama", "gpt2")),
    Case("a_gem", {"capacity": 8}, lr=1e-3, kinds=("llama", "gpt2")),
    Case("gem", {"capacity": 8}, lr=1e-3, kinds=("llama", "gpt2")),
    Case("ema", {"decay": 0.5}, lr=1e-3, kinds=("llama", "gpt2")),
    Case("lwf", lr=1e-3, kinds=("llama", "gpt2")),
    Case("l2_sp", lr=1e-3, kinds=("llama",)),
    Case("kl_to_base", {"direction": "reverse"}, lr=1e-3, kinds=("llama", "gpt2")),
    Case("o_lora", {"dropout": 0.0, "lambda2": 1e-3}, ("A", "B"), kinds=("llama", "qwen2")),
    Case("lora", {"dropout": 0.0}, LORA),
    Case("dora", {"dropout": 0.0}, (*LORA, "lora_magnitude_vector")),
    Case("i_lora", {"consistency": "logits"}, ("A", "B")),
    Case("i_lora", {"consistency": "hidden"}, ("A", "B")),
    Case("cur_lora", {"r": 4}, ("U",), lr=5e-2),
    Case("cur_lora", {"r": 4, "selection": "sampled"}, ("U",), lr=5e-2),
    Case("cabr_lora", SMALL, ("A", "B"), lr=5e-2),
    Case("secura", SMALL, ("A", "B"), RES, lr=5e-2),
    Case("secura", {**SMALL, "merge": "m2"}, ("A", "B"), RES, lr=5e-2),
    Case("secura", {**SMALL, "merge": "none"}, ("A", "B"), RES, lr=5e-2),
    Case("secura", {**SMALL, "fusion_step": 3, "merge": "m2"}, ("A", "B"), RES, lr=5e-2),
    Case("secura", {**SMALL, "signorm": "off"}, ("A", "B"), lr=5e-2),
    Case("secura", {**SMALL, "signorm": "public_code"}, ("A", "B", "adapter_bias"), lr=5e-2),
    Case("secura", {**SMALL, "merge_dtype": "base"}, ("A", "B"), RES, lr=5e-2),
    Case("stack", {"parts": ["lora", {"name": "ewc", "lambda": 1.0, "fisher_samples": 4}, "er"]}, LORA),
]
TABLE = [(case, kind) for case in CASES for kind in case.kinds]
EVERY = pytest.mark.parametrize(("case", "kind"), TABLE, ids=lambda value: str(value))
ON_LLAMA = pytest.mark.parametrize("case", CASES, ids=str)


def session(case: Case, kind: str = "llama", seed: int = 0, **train: Any) -> Session:
    torch.manual_seed(seed)
    return Session(build_model(kind), build_method(case.name, **case.options), **{"lr": case.lr} | train)


@EVERY
def test_only_the_right_tensors_train(case: Case, kind: str) -> None:
    model = session(case, kind).model
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        theirs = case.trained is None or any(part in parts for part in case.trained)
        assert parameter.requires_grad == theirs, name


@EVERY
def test_step_0_is_the_base_or_its_documented_constant(case: Case, kind: str) -> None:
    torch.manual_seed(0)
    base = build_model(kind)
    batch = collate(tasks(1)[0].train, pad_id=0)
    with torch.no_grad():
        for name, module in base.named_modules():
            if case.start != 1.0 and name.rpartition(".")[2] in ("q_proj", "v_proj"):
                module.weight /= case.start  # the bias is not divided
        expected = answer_logits(base, batch)
        ours = session(case, kind)
        with ours.method.evaluating(ours.model.eval()) as view:
            assert torch.allclose(answer_logits(view, batch), expected, atol=2e-4)
    assert ours.method.starts_as_base == (case.start == 1.0)


@EVERY
def test_loss_falls_and_no_frozen_tensor_moves(case: Case, kind: str) -> None:
    ours = session(case, kind, batch_size=6, steps=1)
    frozen = {n: p.detach().clone() for n, p in ours.model.named_parameters() if not p.requires_grad}
    task = tasks(1)[0]
    ours.begin(task)
    # Every step on all rows, in train mode: the loss itself must fall.
    reports = ours.steps(task, 40)
    first, last = (sum(r.loss for r in some) / 5 for some in (reports[:5], reports[-5:]))
    assert last < 0.97 * first
    into_base = case.options.get("merge_dtype") == "base"
    for name, parameter in ours.model.named_parameters():
        if name in frozen and not (into_base and name.endswith("proj.base.weight")):
            if ".long" in name or "long_" in name:
                continue  # I-LoRA's average moves, without a gradient
            assert torch.equal(parameter, frozen[name]), name


@ON_LLAMA
def test_layers_declare_what_is_trained_moved_and_held(case: Case) -> None:
    """Beside what happens: a buffer that moves and that nobody declares would be lost by an export."""
    ours = session(case)
    layers = [layer for _, layer in stand_ins(ours.model)]
    before = [{name: tensor.clone() for name, tensor in layer.named_buffers()} for layer in layers]
    first, second = tasks(2)
    ours.begin(first)
    ours.steps(first, 2)
    ours.method.loss(ours.model, collate(first.train, pad_id=0)).sum.backward()
    for layer in layers:
        own = {name: p for name, p in layer.named_parameters() if not name.startswith("base.")}
        assert {name for name, _ in layer.tensors(layer.trained_names)} == own.keys()
        assert layer.effective == sum(p.numel() for p in own.values() if p.grad.any())
    ours.method.end_task(ours.model, first)
    ours.task(second, 4)
    for layer, was in zip(layers, before, strict=True):
        buffers = dict(layer.named_buffers())
        assert {name for name, _ in layer.tensors(layer.held_names)} == buffers.keys()
        moved = {name for name, tensor in buffers.items() if not torch.equal(tensor, was[name])}
        assert moved and moved <= set(layer.moved_names)


@ON_LLAMA
def test_same_seed_same_weights(case: Case) -> None:
    ends = []
    for _ in range(2):
        ours = session(case)
        for task in tasks(2):
            ours.task(task, 3)
        ends.append(ours.model.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@ON_LLAMA
@pytest.mark.parametrize("at", [1, 4])
def test_saved_and_restored_at_any_step_goes_on_identically(case: Case, at: int) -> None:
    assert_resumes(lambda: session(case), at)


@ON_LLAMA
def test_memory_does_not_grow_with_tasks(case: Case) -> None:
    ours = session(case)
    held = []
    a_task = CLOSED_FORMS[str(case)] if case.name == "o_lora" else 0  # which keeps each task's pair, and no more
    for task in tasks(4, rows=12):
        ours.task(task, 8)
        model = sum(tensor.numel() for tensor in ours.model.state_dict().values())
        held.append(model + _numel(ours.method.state_dict()) - task.index * a_task)
    bounded = held[1] if case.name not in ("er", "der", "a_gem", "gem", "stack", "i_lora") else held[2]
    assert held[3] <= 1.05 * bounded  # a buffer that is full holds other rows, of other lengths


def _numel(state: Any) -> int:
    if isinstance(state, torch.Tensor):
        return state.numel()
    if isinstance(state, dict):
        return sum(map(_numel, state.values()))
    return sum(map(_numel, state)) if isinstance(state, list | tuple) else 1


@ON_LLAMA
def test_bf16_works_on_a_cpu(case: Case) -> None:
    torch.manual_seed(0)
    ours = Session(
        build_model("llama").to(torch.bfloat16),
        build_method(case.name, **case.options),
        precision="bf16", lr=case.lr, batch_size=6,
    )  # fmt: skip
    for name, parameter in ours.model.named_parameters():
        assert parameter.dtype == (torch.float32 if parameter.requires_grad else torch.bfloat16), name
    task = tasks(1)[0]
    ours.begin(task)
    reports = ours.steps(task, 40)
    assert sum(r.loss for r in reports[-5:]) < sum(r.loss for r in reports[:5])


# q_proj 32×32 and v_proj 16×32 in each of two layers; all of the model is counted by hand in the test.
CLOSED_FORMS = {
    "lora": 2 * (8 * (32 + 32) + 8 * (16 + 32)),
    "dora": 2 * (8 * (32 + 32) + 8 * (16 + 32) + 32 + 16),
    "o_lora": 2 * (8 * (32 + 32) + 8 * (16 + 32)),
    "i_lora-logits": 2 * (8 * (32 + 32) + 8 * (16 + 32)),
    "i_lora-hidden": 2 * (8 * (32 + 32) + 8 * (16 + 32)),
    "cur_lora": 2 * 2 * 4 * 4,
    "cur_lora-sampled": 2 * 2 * 4 * 4,
    "cabr_lora": 2 * 2 * 2 * 4 * 6,
    "secura": 2 * 2 * 2 * 4 * 6,
    "secura-m2": 2 * 2 * 2 * 4 * 6,
    "secura-none": 2 * 2 * 2 * 4 * 6,
    "secura-off": 2 * 2 * 2 * 4 * 6,
    "secura-base": 2 * 2 * 2 * 4 * 6,
    "secura-public_code": 2 * 2 * 2 * 4 * 6 + 2 * (32 + 16),
    "stack": 2 * (8 * (32 + 32) + 8 * (16 + 32)),
}


@ON_LLAMA
def test_count_parameters_is_the_closed_form(case: Case) -> None:
    ours = session(case)
    count = ours.method.count_parameters(ours.model)
    whole = 64 * 32 * 2 + 2 * (32 * 32 * 2 + 16 * 32 * 2 + 3 * 32 * 48 + 2 * 32) + 32
    trainable = CLOSED_FORMS.get(str(case), whole)
    assert count.trainable == trainable
    assert count.per_layer == trainable / 2
    still = 2 * 2 * 4 * 6 if case.name == "secura" and ours.method.always_merged else 0  # A has no gradient
    assert count.effective == trainable - still


@ON_LLAMA
def test_trained_state_makes_a_fresh_model_the_trained_one(case: Case) -> None:
    ours = session(case)
    for task in tasks(2):
        ours.task(task, 5)
    with ours.method.evaluating(ours.model):  # as a run keeps it
        state = {name: tensor.detach().clone() for name, tensor in ours.method.trained_state(ours.model).items()}
    fresh = session(case)
    put_back(fresh.model, state)
    batch = collate(tasks(1)[0].train, pad_id=0)
    with (
        torch.no_grad(),
        ours.method.evaluating(ours.model.eval()) as a,
        fresh.method.evaluating(fresh.model.eval()) as b,
    ):
        assert torch.allclose(answer_logits(a, batch), answer_logits(b, batch), atol=1e-5)


@ON_LLAMA
def test_can_be_tried_on_shapes_alone(case: Case) -> None:
    meta = copy.deepcopy(build_model("llama")).to("meta")
    method = build_method(case.name, **case.options)
    model = method.attach(meta)
    assert (
        method.count_parameters(model).trainable == session(case).method.count_parameters(session(case).model).trainable
    )
