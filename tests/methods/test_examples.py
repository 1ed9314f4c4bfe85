"""The examples of methods of one's own: they compute what they say, and go on where they were, alone and on LoRA."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import ROOT
from sessions import Session, assert_resumes, build_model, rows_of, tasks
from torch.nn import functional as F

from secura_bench.data.collate import collate
from secura_bench.foundation.registry import METHODS
from secura_bench.methods.build import build_method
from secura_bench.methods.lending import attached
from secura_bench.methods.method import Method, StepContext
from secura_bench.methods.plugins import load_plugin

FILES = {
    "l2_to_start": ROOT / "docs/methods/l2_to_start.py",
    "agem": ROOT / "docs/methods/agem.py",
    "near_base": ROOT / "docs/methods/near_base.py",
    "layer_rates": ROOT / "tests/support/layer_rates.py",
}
Make = Callable[..., Method]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that makes an example's method, alone or after other parts of a stack."""
    monkeypatch.setattr(METHODS, "_objects", dict(METHODS._objects))
    for file in FILES.values():
        load_plugin(file)

    def build(name: str, *before: Any, **options: Any) -> Method:
        if not before:
            return build_method(name, **options)
        return build_method("stack", parts=[*before, {"name": name, **options}])

    return build


@pytest.mark.parametrize("at", [1, 4])
@pytest.mark.parametrize("before", [(), ("lora",), ("lora", "er"), ({"name": "secura", "r": 4, "m": 6},)], ids=str)
@pytest.mark.parametrize("name", FILES)
def test_they_go_on_bit_by_bit(make: Make, name: str, before: tuple, at: int) -> None:
    if name == "l2_to_start" and "secura" in str(before):
        pytest.skip("SECURA merges what an anchor would hold: such a stack is refused")

    def session() -> Session:
        torch.manual_seed(2)
        return Session(build_model("llama"), make(name, *before))

    assert_resumes(session, at)


def test_the_anchor_pulls_to_where_training_began(make: Make) -> None:
    method = make("l2_to_start", strength=3.0)
    model = attached(method, build_model("llama"))
    batch = collate(rows_of(0, 2), pad_id=0)
    assert method.loss(model, batch).terms["l2"].item() == 0
    with torch.no_grad():
        model.lm_head.weight += 0.5
    assert method.loss(model, batch).terms["l2"].item() == pytest.approx(3 * 0.25 * model.lm_head.weight.numel())
    assert method.count_parameters(model).held == method.count_parameters(model).trainable
    adapted = make("l2_to_start", "lora")
    count = adapted.count_parameters(attached(adapted, build_model("llama")))
    assert count.held == count.trainable < count.total, "on an adapter it holds the adapter alone"


def test_the_distance_is_that_of_two_models(make: Make) -> None:
    method = make("near_base", strength=2.0)
    base = build_model("llama")
    model = attached(method, copy.deepcopy(base))
    rows = rows_of(0, 3)
    batch = collate(rows, pad_id=0)
    assert method.loss(model, batch).terms["apart"].item() == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        model.lm_head.weight.mul_(1.2)
    expected = 2 * torch.cat([(_logits(model, row) - _logits(base, row)).flatten() for row in rows]).square().mean()
    assert method.loss(model, batch).terms["apart"].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("against", [True, False])
def test_the_projection_leaves_no_part_against_the_memory(make: Make, against: bool) -> None:
    method = make("agem", memory=3, rows=3)
    model = attached(method, build_model("llama"))
    (first,) = tasks(1)
    step = StepContext(1, lambda rows: collate(rows, pad_id=0), method.loss)
    method.end_task(model, first)
    assert len(method.memory.examples) == 3
    loss = method.loss(model, step.collate(method.memory.examples))
    (loss.sum / loss.tokens * (-1 if against else 1)).backward()  # on the memory's own rows, up or down
    model.lm_head.weight.grad += 1e-3 * torch.randn_like(model.lm_head.weight)
    before = [p.grad.clone() for p in model.parameters()]
    reference = torch.autograd.grad(
        F.cross_entropy(torch.cat([_logits(model, row) for row in method.memory.examples]), _answers(method)),
        list(model.parameters()),
    )
    method.after_backward(model, step)
    after = [p.grad for p in model.parameters()]
    along = sum((g * r).sum() for g, r in zip(after, reference, strict=True)).item()
    size = sum(r.square().sum() for r in reference).item()
    if against:
        assert abs(along) < 1e-3 * size
    else:
        assert along > 0.9 * size and all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def _logits(model: Any, row: Any) -> torch.Tensor:
    ids = torch.tensor([row.prompt_ids + row.answer_ids])
    return model(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1]


def _answers(method: Any) -> torch.Tensor:
    return torch.tensor([token for row in method.memory.examples for token in row.answer_ids])
