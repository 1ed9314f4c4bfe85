"""LwF and the divergence from the base: values and gradients against torch.func, the teacher, and what they cost."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from sessions import Session, assert_resumes, build_model, rows_of, tasks
from torch.func import functional_call, grad
from torch.nn import functional as F

from secura_bench.data.collate import collate
from secura_bench.methods.build import build_method
from secura_bench.methods.lending import attached
from secura_bench.models.head import answer_logits

Weights = dict[str, torch.Tensor]


def weights_of(model: torch.nn.Module) -> Weights:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def said(model: torch.nn.Module, weights: Weights, rows: Any) -> torch.Tensor:
    """Return the logits at the rows' answer positions, each row alone and unpadded."""
    parts = []
    for row in rows:
        ids = torch.tensor([row.prompt_ids + row.answer_ids])
        parts.append(functional_call(model, weights, (ids,)).logits[0, len(row.prompt_ids) - 1 : -1])
    return torch.cat(parts)


def assert_term(method: Any, model: Any, rows: Any, name: str, expected: Any) -> None:
    """Compare a term's value and its gradients with those of ``expected``, a function of all weights."""
    batch = collate(rows, pad_id=0)
    term = method.loss(model, batch).terms[name]
    term.backward()
    weights = weights_of(model)
    assert term.item() == pytest.approx(expected(weights).item(), rel=1e-4) and term > 1e-3
    for key, gradient in grad(expected)(weights).items():
        own = model.get_parameter(key).grad
        torch.testing.assert_close(own, gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())


def shifted(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.03 * torch.randn_like(parameter)


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_lwf_is_a_distillation_of_the_model_as_the_task_began(kind: str) -> None:
    """As Hinton et al. have it: T² times the cross-entropy with the teacher's softened outputs, less their entropy."""
    method = build_method("lwf", **{"lambda": 0.7, "temperature": 3.0})
    model = attached(method, build_model(kind))
    first, second = tasks(2)
    method.begin_task(model, first)
    shifted(model)
    method.begin_task(model, second)
    teacher = weights_of(model)
    shifted(model)
    rows = rows_of(0, 4)

    def expected(weights: Weights) -> torch.Tensor:
        p, q = (F.softmax(said(model, w, rows) / 3.0, dim=-1) for w in (teacher, weights))
        return 0.7 * 9.0 * (p * (p.log() - q.log())).sum(-1).mean()

    assert_term(method, model, rows, "lwf", expected)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_kl_is_from_the_untouched_model_in_the_direction_asked_for(direction: str) -> None:
    method = build_method("kl_to_base", beta=2.0, direction=direction)
    base = build_model("llama")
    untouched = weights_of(base)
    model = attached(method, base)
    rows = rows_of(0, 4)
    assert method.loss(model, collate(rows, pad_id=0)).terms["kl"].item() == pytest.approx(0, abs=1e-6)
    shifted(model)

    def expected(weights: Weights) -> torch.Tensor:
        p, q = (said(model, w, rows).log_softmax(-1) for w in (untouched, weights))
        if direction == "reverse":
            p, q = q, p
        return 2.0 * (p.exp() * (p - q)).sum(-1).mean()

    assert_term(method, model, rows, "kl", expected)


ADAPTERS = [
    "seq",
    {"name": "lora", "r": 2, "dropout": 0.5},
    {"name": "secura", "r": 4, "m": 6},
    {"name": "secura", "r": 4, "m": 6, "merge": "m2", "fusion_step": 2},
    {"name": "secura", "r": 4, "m": 6, "merge_dtype": "base", "fusion_step": 2},
    {"name": "o_lora", "r": 2},
]


def stacked(adapter: Any, name: str) -> Any:
    return build_method(name) if adapter == "seq" else build_method("stack", parts=[adapter, name])


@pytest.mark.parametrize("adapter", ADAPTERS, ids=str)
def test_the_teacher_is_the_model_as_it_was_whatever_adapts_and_merges(adapter: Any) -> None:
    torch.manual_seed(0)
    ours = Session(build_model("llama"), stacked(adapter, "lwf"))
    first, second = tasks(2)
    batch = collate(rows_of(0, 3), pad_id=0)
    ours.task(first, 3)
    ours.begin(second)
    with torch.no_grad():
        before = answer_logits(ours.model.eval(), batch)
    ours.steps(second, 3)
    lwf = ours.method if adapter == "seq" else ours.method.parts[-1]
    ours.model.train()
    assert torch.allclose(lwf.teacher_logits(ours.model, batch), before, atol=1e-5)
    assert ours.model.training
    with torch.no_grad():
        assert not torch.allclose(answer_logits(ours.model.eval(), batch), before, atol=1e-2)


@pytest.mark.parametrize("name", ["lwf", "kl_to_base"])
@pytest.mark.parametrize("adapter", ADAPTERS[1:3], ids=str)
def test_they_resume_on_an_adapter(adapter: Any, name: str) -> None:
    def session() -> Session:
        torch.manual_seed(2)
        return Session(build_model("llama"), stacked(adapter, name))

    assert_resumes(session, 3)


@pytest.mark.parametrize("name", ["lwf", "kl_to_base"])
def test_a_plan_has_the_second_forward_and_what_is_held(name: str) -> None:
    method = build_method(name)
    model = attached(method, build_model("llama"))
    method.begin_task(model, tasks(1)[0])
    calls = []
    for each in (model, method.base):
        if each is not None:
            each.register_forward_hook(lambda *_: calls.append(1))
    method.loss(model, collate(rows_of(0, 1), pad_id=0))
    count, whole = method.count_parameters(model), sum(p.numel() for p in model.parameters())
    assert len(calls) == 2 and method.footprint().relative_work == 1.5
    assert count.held == count.trainable == whole
    adapted = stacked({"name": "lora", "r": 2}, name)
    count = adapted.count_parameters(attached(adapted, copy.deepcopy(build_model("llama"))))
    # Beside LoRA, which is merged at a boundary, a base of its own has the weights that are merged into.
    assert count.held == (count.trainable if name == "lwf" else 2 * (32 * 32 + 16 * 32))


def test_positions_without_weight_play_no_part() -> None:
    method = build_method("kl_to_base")
    model = attached(method, build_model("llama"))
    shifted(model)
    rows = rows_of(0, 3)
    padded = [*rows, replace(rows_of(9, 1)[0], weight=0.0)]
    one, other = (method.loss(model, collate(some, pad_id=0)).terms["kl"].item() for some in (rows, padded))
    assert one == pytest.approx(other, rel=1e-5)
