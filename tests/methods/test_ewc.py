"""EWC: the Fisher information, the penalty, and what is kept from task to task."""

from __future__ import annotations

import pytest
import sessions
import torch
from pydantic import ValidationError
from sessions import Session, assert_resumes, build_model, new_method, rows_of
from torch.func import functional_call, grad

from secura_bench.data.collate import collate
from secura_bench.methods.ewc import EWC, absorb, diagonal_fisher, trained
from secura_bench.methods.lora import LoRA
from secura_bench.methods.method import Method


def tasks(count: int, rows: int = 6) -> list:
    """Return the first tasks of a longer sequence: after the last one of all, EWC measures nothing."""
    return sessions.tasks(count + 1, rows)[:count]


def test_after_the_last_task_nothing_is_measured() -> None:
    method = new_method(EWC)
    model = method.attach(build_model("llama"))
    method.end_task(model, sessions.tasks(2)[1])
    assert not method.fisher and method.fisher_mean is None


def fisher_by_torch_func(model, rows):
    """Mean of squared per-example gradients of Σ log p, by torch.func, from plain ids and the full head."""
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    frozen = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}

    def log_likelihood(parameters, row):
        ids = torch.tensor([row.prompt_ids + row.answer_ids])
        logits = functional_call(model, {**parameters, **frozen}, (), {"input_ids": ids}).logits[0]
        start = len(row.prompt_ids)
        log_p = logits.log_softmax(-1)
        return sum(log_p[start - 1 + i, token] for i, token in enumerate(row.answer_ids))

    per_row = [grad(log_likelihood)(parameters, row) for row in rows]
    return {name: torch.stack([g[name] for g in per_row]).square().mean(0) for name in parameters}


@pytest.mark.parametrize(("kind", "adapter"), [("llama", Method), ("llama", LoRA), ("gpt2", Method), ("qwen2", Method)])
def test_fisher_is_that_of_per_example_gradients(kind: str, adapter: type[Method]) -> None:
    model = adapter().attach(build_model(kind))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # at zero, A has no gradient
            torch.nn.init.normal_(parameter, std=0.2)
    rows = rows_of(0, 5)
    expected = fisher_by_torch_func(model.eval(), rows)
    model.train()  # with GPT-2's dropout: the Fisher switches it off
    marks = [p.grad for p in model.parameters()]
    found = diagonal_fisher(model, rows)
    assert model.training and [p.grad for p in model.parameters()] == marks
    assert found.keys() == expected.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    for name, fisher in found.items():
        torch.testing.assert_close(fisher, expected[name], rtol=1e-3, atol=1e-5 * expected[name].max().item())


def test_fisher_is_no_squared_batch_gradient() -> None:
    model, rows = build_model("llama"), rows_of(0, 5)
    loss = Method().loss(model, collate(rows, pad_id=0))
    parameter = model.lm_head.weight
    (batch_gradient,) = torch.autograd.grad(loss.sum / len(rows), [parameter])
    fisher = diagonal_fisher(model, rows)["lm_head.weight"]
    assert fisher.mean() > 1.5 * batch_gradient.square().mean()


def moved(model: torch.nn.Module, by: float = 0.05) -> None:
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter += by * torch.randn_like(parameter)


def penalty_of(method: EWC, model: torch.nn.Module) -> torch.Tensor:
    batch = collate(rows_of(0, 1), pad_id=0)
    return method.terms(model, batch, torch.zeros(1, 64))["ewc"]


@pytest.mark.parametrize("fisher", [{}, {"fisher_dtype": "bf16"}])
def test_penalty_and_its_gradient_by_finite_differences(fisher: dict) -> None:
    model = build_model("llama")
    method = new_method(EWC, **{"lambda": 7.0, "fisher_samples": 4}, **fisher)
    task = tasks(1)[0]
    assert method.terms(model, None, torch.zeros(1)) == {} and method.fisher_mean is None
    method.end_task(model, task)
    assert penalty_of(method, model).item() == 0
    moved(model)
    penalty = penalty_of(method, model)
    by_hand = sum((method.fisher[n] * (p - method.anchors[n]) ** 2).sum() for n, p in model.named_parameters())
    assert penalty.item() == pytest.approx(3.5 * by_hand.item(), rel=1e-5)
    penalty.backward()
    for name in ("lm_head.weight", "model.layers.1.mlp.up_proj.weight", "model.norm.weight"):
        parameter = model.get_parameter(name)
        place = parameter.grad.abs().argmax()
        value, step = parameter.data.view(-1)[place].item(), 0.3
        with torch.no_grad():
            parameter.view(-1)[place] = value + step
            above = penalty_of(method, model).item()
            parameter.view(-1)[place] = value - step
            below = penalty_of(method, model).item()
            parameter.view(-1)[place] = value
        slope = (above - below) / (2 * step)  # exact for a parabola, whatever the step
        assert parameter.grad.view(-1)[place].item() == pytest.approx(slope, rel=2e-3)


def test_mean_is_readable() -> None:
    model = build_model("llama")
    method = new_method(EWC, fisher_samples=4)
    assert method.measures(model) == {}
    method.end_task(model, tasks(1)[0])
    assert method.measures(model)["fisher_mean"] == pytest.approx(
        torch.cat([f.flatten() for f in method.fisher.values()]).mean().item()
    )


def test_online_equals_separate_after_one_task_and_not_after_two() -> None:
    penalties = {}
    for variant in ("online", "separate"):
        torch.manual_seed(1)
        model = build_model("llama")
        method = new_method(EWC, variant=variant, fisher_samples=4)
        for task in tasks(2):
            method.end_task(model, task)
            moved(model)
            penalties[variant, task.index] = penalty_of(method, model).item()
    assert penalties["online", 0] == penalties["separate", 0] > 0
    assert penalties["online", 1] != pytest.approx(penalties["separate", 1], rel=1e-2)


def test_separate_is_the_sum_of_every_tasks_own_penalty() -> None:
    """Kept as one parabola; here against one a task, as Kirkpatrick et al. write it."""
    model = build_model("llama")
    method = new_method(EWC, **{"variant": "separate", "lambda": 3.0, "fisher_samples": 6})
    kept = []
    for task in tasks(3):
        moved(model)
        kept.append((diagonal_fisher(model, task.train), {n: p.detach().clone() for n, p in model.named_parameters()}))
        method.end_task(model, task)
    moved(model)
    expected = 1.5 * sum(
        (fisher[n] * (p - anchor[n]) ** 2).sum() for fisher, anchor in kept for n, p in model.named_parameters()
    )
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    penalty = penalty_of(method, model)
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-4)
    for ours, theirs in zip(torch.autograd.grad(penalty, list(model.parameters())), gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * theirs.abs().max().item())


def test_parabolas_without_information_add_nothing() -> None:
    zero, one = torch.zeros(2), torch.ones(2)
    total, anchor, offset = absorb(zero, one, zero, 2 * one)
    assert (total.tolist(), anchor.tolist(), offset) == ([0, 0], [2, 2], 0)
    total, anchor, offset = absorb(one, one, zero, 5 * one)
    assert (total.tolist(), anchor.tolist(), offset) == ([1, 1], [1, 1], 0)


def test_online_forgets_by_gamma_and_anchors_at_the_latest() -> None:
    model = build_model("llama")
    method = new_method(EWC, gamma=0.5, fisher_samples=6)
    first, second = tasks(2)
    method.end_task(model, first)
    old = dict(method.fisher)
    moved(model)
    method.end_task(model, second)
    new = diagonal_fisher(model, second.train)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(method.fisher[name], 0.5 * old[name] + new[name], rtol=1e-4, atol=1e-8)
        assert torch.equal(method.anchors[name], parameter)


@pytest.mark.parametrize("variant", ["online", "separate"])
def test_memory_does_not_grow_with_tasks(variant: str) -> None:
    model = build_model("llama")
    method = new_method(EWC, variant=variant, fisher_samples=2)
    sizes = []
    for task in tasks(3):
        method.end_task(model, task)
        sizes.append(sum(t.nbytes for part in ("fisher", "anchors") for t in method.state_dict()[part].values()))
    count = method.count_parameters(model)
    assert len(set(sizes)) == 1 and sizes[0] == 4 * count.held == 8 * count.trainable


def test_tensors_live_where_and_as_asked() -> None:
    model = build_model("llama")
    exact, rounded = (new_method(EWC, dtype=dtype, device="cpu", fisher_samples=3) for dtype in ("fp32", "bf16"))
    task = tasks(1)[0]
    for method in (exact, rounded):
        method.end_task(model, task)
    assert {t.dtype for t in (*rounded.fisher.values(), *rounded.anchors.values())} == {torch.bfloat16}
    moved(model, by=0.5)
    assert penalty_of(rounded, model).item() == pytest.approx(penalty_of(exact, model).item(), rel=2e-2)
    penalty_of(rounded, model).backward()
    assert model.lm_head.weight.grad.dtype == torch.float32


def test_a_fisher_in_bf16_pulls_as_hard_to_its_rounding() -> None:
    """Each gradient of the penalty to 2⁻⁸ of itself after a task, and to as much again after the next."""
    model = build_model("llama")
    exact, rounded = (new_method(EWC, fisher_samples=3, **said) for said in ({}, {"fisher_dtype": "bf16"}))
    for task in tasks(2):
        for method in (exact, rounded):
            method.end_task(model, task)
        assert {t.dtype for t in rounded.fisher.values()} == {torch.bfloat16}
        assert all(torch.equal(rounded.anchors[name], p) for name, p in trained(model).items())
        moved(model)
        theirs, ours = (
            torch.autograd.grad(penalty_of(method, model), list(trained(model).values())) for method in (exact, rounded)
        )
        bound = (task.index + 1) * 2**-8 * (1 + 1e-4)
        assert all(((a - b).abs() <= bound * b.abs()).all() for a, b in zip(ours, theirs, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_it_holds_what_the_first_task_learned() -> None:
    distances = {}
    for strength in (0.0, 1e4):
        torch.manual_seed(1)
        session = Session(build_model("llama"), new_method(EWC, **{"lambda": strength}))
        first, second = tasks(2)
        session.task(first, 5)
        before = [p.detach().clone() for p in session.model.parameters()]
        fisher = list(session.method.fisher.values())
        reports = session.task(second, 10)
        assert set(reports[-1].terms) == {"ewc"}
        after = list(session.model.parameters())
        distances[strength] = sum((f * (a - b) ** 2).sum() for f, a, b in zip(fisher, after, before, strict=True))
    assert distances[1e4] < 0.5 * distances[0.0]


@pytest.mark.parametrize("at", [1, 4])
def test_resumes(at: int) -> None:
    def session() -> Session:
        torch.manual_seed(2)
        return Session(build_model("llama"), new_method(EWC, variant="separate", fisher_samples=3))

    assert assert_resumes(session, at).reports[-1].terms["ewc"] > 0


def test_options_by_their_names_in_a_spec() -> None:
    options = EWC.Options.model_validate({"lambda": 12})
    assert options.lambda_ == 12 and options.model_dump(mode="json")["lambda"] == 12
    assert "fisher_dtype" not in options.model_dump(mode="json")  # nor in the fingerprint of a run that sets none
    assert new_method(EWC, fisher_dtype="bf16").options.model_dump(mode="json")["fisher_dtype"] == "bf16"
    for wrong in ({"lambda_": 12}, {"lambda": -1}, {"variant": "separate", "gamma": 0.9}):
        with pytest.raises(ValidationError):
            EWC.Options.model_validate(wrong)
