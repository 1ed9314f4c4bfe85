"""The untouched model, lent: what it answers, what it shares with the trained one, and what it takes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from sessions import Session, assert_resumes, build_model, tasks

from secura_bench.data.collate import collate
from secura_bench.estimates.formulas import count_on_shape
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.lending import attached, bits_of
from secura_bench.methods.method import Method
from secura_bench.methods.stack import Stack
from secura_bench.models.head import answer_logits
from secura_bench.models.load import shape_of
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.precision import prepare_training


class Compares(Method):
    name = "compares"
    needs_base = True

    def terms(self, model, batch, logits):
        with torch.no_grad():
            base = answer_logits(self.base, batch)
        return {"apart": (logits.float() - base.float()).square().mean()}


ADAPTERS = [
    (None, {}, "all"),
    ("lora", {"boundary": "continue", "dropout": 0.0}, "none"),
    ("lora", {"dropout": 0.0}, "targets"),
    ("cur_lora", {"r": 4, "boundary": "continue"}, "none"),
    ("secura", {"r": 4, "m": 6, "merge_dtype": "base"}, "targets"),
    ("i_lora", {}, "targets"),
    ("peft", {"peft_type": "ia3"}, "none"),
]


def method_of(name: str | None, options: dict[str, Any]) -> Method:
    return Compares() if name is None else Stack([build_method(name, **options), Compares()])


def base_of(method: Method) -> torch.nn.Module:
    return method.base


@pytest.mark.parametrize(("name", "options", "copied"), ADAPTERS)
@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_it_answers_as_before_whatever_is_trained_and_copies_no_more_than_that(
    kind: str, name: str | None, options: dict[str, Any], copied: str
) -> None:
    original = build_model(kind)
    session = Session(copy.deepcopy(original), method_of(name, options), lr=5e-2)
    base = base_of(session.method)
    for task in tasks(2):
        session.task(task, 3)
    batch = collate(tasks(1)[0].train, pad_id=0)
    with torch.no_grad():
        ours, theirs = answer_logits(original, batch), answer_logits(base, batch)
        assert torch.equal(theirs, ours)
        assert not torch.allclose(answer_logits(session.model.eval(), batch), ours, atol=1e-3)
    live = {id(p) for p in session.model.parameters()}
    own = [name for name, p in base.named_parameters() if id(p) not in live]
    expected = {
        "all": [name for name, _ in original.named_parameters()],
        "none": [],
        "targets": [name for name, _ in original.named_parameters() if "q_proj.w" in name or "v_proj.w" in name],
    }[copied]
    assert own == expected
    assert not any(p.requires_grad for p in base.parameters()) and not base.training


def test_its_term_is_zero_at_the_start_in_bf16_too() -> None:
    session = Session(build_model("llama").to(torch.bfloat16), Compares(), precision="bf16_pure")
    batch = collate(tasks(1)[0].train, pad_id=0)
    assert {p.dtype for p in session.method.base.parameters()} == {torch.bfloat16}
    assert session.method.loss(session.model.eval(), batch).terms["apart"].item() == 0
    model = build_model("llama").to(torch.bfloat16)
    method = Compares()
    model = attached(method, model, lambda model: prepare_training(model, TrainSpec(precision="bf16")))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {p.dtype for p in method.base.parameters()} == {torch.bfloat16}, "it takes what the base takes"


def test_a_start_that_changes_the_base_is_refused_and_told() -> None:
    with pytest.raises(SpecError, match=r"'stack' needs the base model's outputs, and .* has changed .*q_proj\.weight"):
        attached(method_of("lora", {"init_lora_weights": "pissa"}), build_model("llama"))


@pytest.mark.parametrize("at", [1, 4])
@pytest.mark.parametrize("name", [None, "lora"])
def test_resumes(name: str | None, at: int) -> None:
    def session() -> Session:
        torch.manual_seed(2)
        return Session(build_model("llama"), method_of(name, {}))

    assert assert_resumes(session, at).reports[-1].terms["apart"] > 0


@pytest.mark.parametrize(("name", "options", "copied"), ADAPTERS)
def test_a_plan_counts_what_is_copied(name: str | None, options: dict[str, Any], copied: str) -> None:
    from secura_bench.models.load import find_model, load_model

    method = method_of(name, {**options, "r": 4} if name in ("lora", "i_lora") else options)
    fresh = build_method(name, **options) if name else Method()
    live = method_of(name, {**options, "r": 4} if name in ("lora", "i_lora") else options)
    model = attached(live, load_model(find_model("tiny")))
    count = live.count_parameters(model)
    shape = shape_of("tiny")
    q, v = (shape.hidden * heads * shape.head_dim * shape.layers for heads in (shape.heads, shape.kv_heads))
    more = {"all": shape.parameters, "none": 0, "targets": q + v}[copied]
    without = fresh.count_parameters(fresh.attach(load_model(find_model("tiny")))).held if name != "i_lora" else None
    if without is not None:
        assert count.held == without + more
    footprint = method.footprint()
    if name is None:
        assert count_on_shape(footprint, shape) == count and footprint.held_memory(count) == (4 * more, 0)
    assert footprint.relative_work == pytest.approx(1.5 * fresh.footprint().relative_work)


def test_bits_tell_values_apart_and_shapes_alone_are_nothing() -> None:
    x = torch.randn(7, 3)
    assert bits_of(x) == bits_of(x.clone()) != bits_of(x + 1e-3)
    for dtype in (torch.bfloat16, torch.float64, torch.int8, torch.bool):
        assert bits_of(torch.zeros(5).to(dtype)) == 0 != bits_of(torch.ones(5).to(dtype))
    assert bits_of(x[1:, 1]) == bits_of(x[1:, 1].clone()), "wherever it lies in memory"
    assert bits_of(torch.empty(3, device="meta")) == 0
