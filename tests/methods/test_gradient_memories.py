"""A-GEM, GEM and DER++: the gradients that a memory of rows projects or adds, against solvers and torch.func."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import example
from scipy.optimize import minimize
from sessions import Session, assert_resumes, build_model, new_method, rows_of, tasks
from torch.func import functional_call
from torch.nn import functional as F

from secura_bench.data.collate import collate
from secura_bench.estimates.memory import Memory, Scoring, memory_of
from secura_bench.methods.a_gem import AGEM
from secura_bench.methods.build import build_method
from secura_bench.methods.der import DER
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.gem import GEM, dual
from secura_bench.methods.memory_gradients import gradient_on
from secura_bench.methods.method import Method, StepContext
from secura_bench.methods.parameters import ParameterCount
from secura_bench.models.head import answer_logits
from secura_bench.models.load import shape_of
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.micro_batches import MicroBatches

SCORING = Scoring(1, 64, 16, 0, ("teacher_forced",))
STEP = StepContext(1, lambda rows: collate(rows, pad_id=0), Method().loss)


def vector(gradient: dict[str, torch.Tensor]) -> np.ndarray:
    return torch.cat([gradient[name].flatten() for name in sorted(gradient)]).double().numpy()


def nearest(g: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return argmin ½ ‖x − g‖² subject to R x ≥ 0 by a general solver, on the space that g and R span."""
    basis, _ = np.linalg.qr(np.vstack([g, references]).T)
    length = np.linalg.norm(g)
    small, rows = basis.T @ g / length, references @ basis
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = minimize(
        lambda x: 0.5 * ((x - small) ** 2).sum(),
        small,
        jac=lambda x: x - small,
        constraints={"type": "ineq", "fun": lambda x: rows @ x, "jac": lambda x: rows},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found.success
    return length * (basis @ found.x)


def filled(kind: type[Method], past: int = 1, each: int = 4, **options: Any) -> Method:
    """Return a method whose memory holds rows of ``past`` tasks that have ended, and of the one under way."""
    method = new_method(kind, **options)
    for task in tasks(past + 1, rows=each):
        method.begin_task(torch.nn.Linear(1, 1), task)
        method.mix(task.train)
        if task.index < past:
            method.end_task(torch.nn.Linear(1, 1), task)
    return method


def carrying(model: torch.nn.Module, like: dict[str, torch.Tensor], towards: float) -> None:
    """Let the parameters carry a random gradient and ``towards`` times another."""
    for name, parameter in model.named_parameters():
        parameter.grad = torch.randn_like(parameter) + towards * like[name]


@pytest.mark.parametrize("towards", [-1.0, 1.0])
@pytest.mark.parametrize("kind", [AGEM, GEM])
def test_one_earlier_task_gives_the_gradient_of_the_quadratic_program(kind: type[Method], towards: float) -> None:
    """By a general solver of the primal; rows of the task under way say nothing."""
    options = {"margin": 0.0} if kind is GEM else {}
    model, method = build_model("llama"), filled(kind, ratio=1.0, **options)
    reference = gradient_on(model, tasks(2, rows=4)[0].train, STEP, method.buffer.generator)
    carrying(model, reference, 30 * towards)
    before = {name: p.grad.clone() for name, p in model.named_parameters()}
    method.after_backward(model, STEP)
    after = vector({name: p.grad for name, p in model.named_parameters()})
    r, g = vector(reference), vector(before)
    np.testing.assert_allclose(after, nearest(g, r[None]), atol=1e-5 * np.abs(g).max())
    assert method.measures(model) == {"projected_steps": float(towards < 0)}
    if towards > 0:
        assert np.array_equal(after, g)
    else:
        assert g @ r < 0 and abs(after @ r) < 1e-5 * np.linalg.norm(after) * np.linalg.norm(r)


def test_gem_goes_against_no_earlier_task() -> None:
    model, method = build_model("llama"), filled(GEM, past=3, margin=0.0)
    references = [gradient_on(model, task.train, STEP, method.buffer.generator) for task in tasks(4, rows=4)[:3]]
    carrying(model, references[0], -30.0)
    for parameter, other in zip(model.parameters(), references[1].values(), strict=True):
        parameter.grad -= 20 * other
    g = vector({name: p.grad for name, p in model.named_parameters()})
    R = np.stack([vector(reference) for reference in references])
    method.after_backward(model, STEP)
    after = vector({name: p.grad for name, p in model.named_parameters()})
    assert (R @ g).min() < 0
    assert (R @ after).min() > -1e-4 * np.linalg.norm(after) * np.linalg.norm(R, axis=1).max()
    np.testing.assert_allclose(after, nearest(g, R), atol=1e-4 * np.abs(g).max())


@pytest.mark.parametrize("margin", [0.0, 0.5])
@pytest.mark.parametrize("rank", [5, 3])
def test_the_dual_is_that_of_another_solver(margin: float, rank: int) -> None:
    """By bounds and quasi-Newton steps; with fewer directions than tasks too, where v is not unique and Gᵀ v is."""
    generator = np.random.default_rng(0)
    for _ in range(20):
        G = generator.normal(size=(5, rank)) @ generator.normal(size=(rank, 40))
        g = generator.normal(size=40) - G.sum(axis=0)
        P, b = G @ G.T, G @ g
        ours = dual(P, b, margin)
        theirs = minimize(
            lambda v, P=P, b=b: 0.5 * v @ P @ v + b @ v,
            np.full(5, margin + 1.0),
            jac=lambda v, P=P, b=b: P @ v + b,
            bounds=[(margin, None)] * 5,
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000},
        ).x
        assert ours.min() >= margin - 1e-12
        np.testing.assert_allclose(G.T @ ours, G.T @ theirs, atol=2e-4 * np.abs(G.T @ theirs).max())
        assert (P @ ours + b).min() > -1e-8 * np.abs(b).max()  # G g̃ ≥ 0


def test_a_task_without_a_gradient_leaves_the_others_alone() -> None:
    P, b = np.array([[4.0, 0.0], [0.0, 0.0]]), np.array([-2.0, 0.0])
    assert dual(P, b).tolist() == [0.5, 0.0]


def test_the_memory_speaks_for_tasks_that_have_ended() -> None:
    model, method = build_model("llama"), new_method(AGEM)
    first, second = tasks(2, rows=4)
    for task in (first, second):
        method.begin_task(model, task)
        method.mix([replace(row, task="whatever") for row in task.train])
        method.after_backward(model, STEP)  # no gradient goes against any
        assert all(parameter.grad is None for parameter in model.parameters())
        assert {row.task for row in method.buffer.draw(9, method.past)} == ({"task0"} if task is second else set())
        method.end_task(model, task)
    assert method.count_parameters(model).held == method.buffer.tokens > 0


@pytest.mark.parametrize("micro_batch", [None, 1, 2, "auto"])
def test_a_memorys_gradient_is_the_mean_over_its_tokens_however_it_is_cut(micro_batch: int | str | None) -> None:
    model, rows = build_model("llama"), rows_of(0, 5)
    cut = MicroBatches("auto", pass_tokens=1).parts
    step = replace(STEP, cut=cut) if micro_batch == "auto" else replace(STEP, micro_batch=micro_batch)
    before = torch.get_rng_state()
    found = gradient_on(model, rows, step, random.Random(0))
    assert torch.equal(torch.get_rng_state(), before)
    loss = Method().loss(model, collate(rows, pad_id=0))
    expected = torch.autograd.grad(loss.sum / loss.tokens, list(model.parameters()))
    for name, gradient in zip(dict(model.named_parameters()), expected, strict=True):
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_dropout_of_a_memorys_rows_is_the_same_in_every_process() -> None:
    model = build_model("gpt2").train()
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(vector(gradient_on(model, rows_of(0, 3), STEP, random.Random(0))))
    assert np.array_equal(*found)


def replayed(model: torch.nn.Module, weights: dict[str, torch.Tensor], rows: list[Any]) -> list[torch.Tensor]:
    """Return each row's logits at its answer, from its own ids alone and the full head."""
    logits = []
    for row in rows:
        ids = torch.tensor([row.prompt_ids + row.answer_ids])
        said = functional_call(model, weights, kwargs={"input_ids": ids}).logits[0]
        logits.append(said[len(row.prompt_ids) - 1 : -1])
    return logits


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.0), (0.0, 0.4), (0.7, 0.4)])
def test_the_gradient_of_der_is_that_of_its_loss(alpha: float, beta: float) -> None:
    """By torch.func, of the loss as the paper has it, over logits that were kept of other weights."""
    model, method = build_model("llama"), new_method(DER, alpha=alpha, beta=beta, capacity=4)
    rows = rows_of(0, 4)
    method.mix(rows)
    method.after_backward(model, STEP)
    assert all(parameter.grad is None for parameter in model.parameters()), "an empty memory replays nothing"
    was = {name: p.detach().clone() for name, p in model.named_parameters()}
    kept = [own.detach() for own in replayed(model, was, rows)]
    for place, own in enumerate(kept):
        torch.testing.assert_close(method.logits[place], own, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    method.mix([example(7, 2, seed=50 + i) for i in range(4)])  # as many as are held: both draws are of all
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    now = {name: p.detach() for name, p in model.named_parameters()}

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        logits = torch.cat(replayed(model, weights, rows))
        answers = torch.tensor([token for row in rows for token in row.answer_ids])
        return alpha * F.mse_loss(logits, torch.cat(kept)) + beta * F.cross_entropy(logits, answers)

    expected = torch.func.grad(loss)(now)
    method.after_backward(model, STEP)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad - 1, expected[name], rtol=1e-3, atol=2e-6)


def test_der_keeps_each_rows_logits_where_the_row_is() -> None:
    """A reservoir that overflows: every row's logits are of the weights of the step that brought it."""
    model, method = build_model("llama"), new_method(DER, capacity=5, logits_dtype="bf16", alpha=0.0, beta=0.0)
    expected: dict[str, torch.Tensor] = {}
    for number in range(6):
        rows = rows_of(10 * number, 3)
        method.mix(rows)
        method.after_backward(model.train(), STEP)
        assert model.training
        with torch.no_grad():
            for row in rows:
                expected[row.row.id] = answer_logits(model, collate([row], pad_id=0))
            for parameter in model.parameters():
                parameter *= 1.01
    assert len(method.buffer.examples) == len(method.logits) == 5
    for place, row in enumerate(method.buffer.examples):
        assert method.logits[place].dtype == torch.bfloat16
        torch.testing.assert_close(method.logits[place].float(), expected[row.row.id], rtol=1e-2, atol=1e-2)
    held = sum(row.supervised for row in method.buffer.examples) * 64
    assert method.count_parameters(model).held == method.buffer.tokens + held


@pytest.mark.parametrize("name", ["a_gem", "gem", "der"])
def test_stacked_on_lora_it_resumes_bit_by_bit(name: str) -> None:
    parts = [{"name": "lora", "r": 2, "dropout": 0.2}, {"name": name, "capacity": 6}]

    def session() -> Session:
        torch.manual_seed(0)
        return Session(build_model("llama"), build_method("stack", parts=parts), micro_batch_size=1)

    assert_resumes(session, 2)


def planned(name: str, **options: Any) -> Footprint:
    return build_method(name, **options).footprint()


def test_plans_count_a_memorys_rows_gradients_and_logits() -> None:
    a_gem, gem, der = planned("a_gem", ratio=2.0), planned("gem"), planned("der", capacity=7, logits_dtype="bf16")
    assert [a_gem.memory_rows(task) for task in (0, 1, 5)] == [0, 2, 2]
    assert [a_gem.memory_gradients(task) for task in (0, 1, 5)] == [0, 1, 1]
    assert [gem.memory_rows(task) for task in (0, 1, 5)] == [0, 1, 5]
    assert [gem.memory_gradients(task) for task in (0, 1, 5)] == [0, 1, 5]
    assert (der.memory_rows(0), der.memory_gradients(0), der.memory_logits) == (2.0, 1, (7, 2))
    assert planned("der", beta=0.0).memory_rows(0) == 1.0
    stack = planned("stack", parts=["lora", {"name": "der", "capacity": 7}])
    assert (stack.memory_rows(3), stack.memory_gradients(3), stack.memory_logits) == (2.0, 1, (7, 4))


def test_plans_take_them_into_memory_and_time() -> None:
    shape, train = shape_of("smollm2-135m"), TrainSpec(batch_size=2)
    trained = shape.parameters

    def memory(name: str, tasks: int, **options: Any) -> Memory:
        count = ParameterCount(trained, trained)
        return memory_of(planned(name, **options), count, shape, train, SCORING, 16, tasks)

    assert memory("gem", 4).held - memory("seq", 4).held == 3 * 4 * trained
    assert memory("a_gem", 4).held - memory("seq", 4).held == 4 * trained
    assert memory("a_gem", 1) == memory("seq", 1)
    assert memory("der", 1, capacity=50).host == 50 * 16 * shape.vocabulary * 4
