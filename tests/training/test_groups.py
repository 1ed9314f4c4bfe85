"""A method's own parameter groups: rates of their own under every schedule and optimizer, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from layer_rates import LayerRates

from secura_bench.data.example import Task
from secura_bench.data.streams import RowStream
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.methods.stack import Stack
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.groups import groups_of
from secura_bench.training.loop import TrainingLoop
from secura_bench.training.precision import new_accelerator, prepare_training


class Own(Method):
    name = "own"

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def parameter_groups(self, model: torch.nn.Module) -> list[dict[str, Any]]:
        return self.make(list(model.parameters()), model)


def loop_of(method: Method, model: torch.nn.Module, **train: Any) -> TrainingLoop:
    spec = TrainSpec(**{"lr": 1e-2, "steps": 6, "batch_size": 4} | train)
    prepare_training(model, spec)
    return TrainingLoop(new_accelerator(spec.precision, cpu=True), model, method, spec, pad_id=0)


def halves(tensors: list, model: Any) -> list[dict[str, Any]]:
    return [
        {"params": tensors[:3], "lr_scale": 0.5, "weight_decay": 0.0},
        {"params": tensors[3:5], "lr": 0.3},
        {"params": (p for p in tensors[5:])},
        {"params": []},
    ]


def test_every_group_has_its_own_rate_and_decay_under_the_schedule(llama, examples) -> None:
    loop = loop_of(Own(halves), llama(), schedule="linear", warmup_steps=2, weight_decay=0.2)
    rates = []

    def on_step(report: Any) -> None:
        rates.append([group["lr"] for group in loop.optimizer.param_groups])

    loop.run_task(Task("task", 0, examples), RowStream(8, "epochs", 0), 6, on_step)
    assert [group["weight_decay"] for group in loop.optimizer.param_groups] == [0.0, 0.2, 0.2]
    for step, found in enumerate(rates, start=1):
        share = step / 2 if step <= 2 else 1 - (step - 3) / 4
        assert found == pytest.approx([0.005 * share, 0.3 * share, 0.01 * share])


@pytest.mark.parametrize(
    ("optimizer", "precision"),
    [("adamw", "fp32"), ("adamw", "bf16_stochastic"), ("adafactor", "fp32"), ("adafactor", "bf16_pure")],
)
def test_a_group_at_rate_zero_stands_still_in_every_optimizer(llama, examples, optimizer: str, precision: str) -> None:
    model = llama().to(torch.float32 if precision == "fp32" else torch.bfloat16)
    still = Own(lambda tensors, _: [{"params": tensors[:4], "lr": 0.0}, {"params": tensors[4:]}])
    loop = loop_of(still, model, optimizer=optimizer, precision=precision)
    before = [p.detach().clone() for p in model.parameters()]
    loop.run_task(Task("task", 0, examples), RowStream(8, "epochs", 0), 3, lambda report: None)
    moved = [not torch.equal(p, was) for p, was in zip(model.parameters(), before, strict=True)]
    assert not any(moved[:4]) and all(moved[4:])


def test_one_group_of_all_is_what_there_was(llama, examples) -> None:
    ends = []
    for method in (Method(), Own(lambda tensors, _: [{"params": tensors}])):
        torch.manual_seed(0)
        model = llama()
        loop = loop_of(method, model, schedule="cosine")
        loop.run_task(Task("task", 0, examples), RowStream(8, "epochs", 0), 4, lambda report: None)
        ends.append(model.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p, m: [{"params": p[1:]}], r"model\.embed_tokens\.weight is trained, and in no group"),
        (lambda p, m: [{"params": p[:-3]}], r"and 2 more is trained, and in no group"),
        (lambda p, m: [{"params": p}, {"params": p[:1]}], r"embed_tokens\.weight is in group 0 and again in group 1"),
        (lambda p, m: [{"params": [*p, torch.nn.Parameter(torch.ones(1))]}], "none of the model's parameters"),
        (lambda p, m: [{"params": p, "momentum": 1}], "unknown key 'momentum'"),
        (lambda p, m: [{"lr": 1}], "a group is a dict with 'params'"),
        (lambda p, m: [p], "a group is a dict with 'params'"),
        (lambda p, m: [{"params": p, "lr": -1.0}], "lr must be a finite number, 0 or more"),
        (lambda p, m: [{"params": p, "lr": "fast"}], "lr must be a finite number"),
        (lambda p, m: [{"params": p, "weight_decay": float("nan")}], "weight_decay must be a finite number"),
        (lambda p, m: [{"params": p, "lr": 1, "lr_scale": 1}], "leave one of them out"),
    ],
)
def test_groups_that_make_no_sense_are_refused_by_name(llama, make: Any, reason: str) -> None:
    with pytest.raises(SpecError, match=f"method 'own': parameter_groups: .*{reason}"):
        groups_of(Own(make), llama(), TrainSpec())


def test_what_is_not_trained_is_in_no_group(llama) -> None:
    stack = Stack([build_method("lora"), Own(lambda tensors, _: [{"params": tensors}])])
    with pytest.raises(SpecError, match=r"group 0 has .*embed_tokens\.weight, which is not trained"):
        groups_of(stack, stack.attach(llama()), TrainSpec())


def test_groups_in_another_order_do_not_get_each_others_moments(llama) -> None:
    def turned(tensors: list, model: Any) -> list:
        return halves(tensors, model)[2::-1]

    state = loop_of(Own(halves), llama()).state_dict()
    loop_of(Own(halves), llama()).load_state_dict(state)
    with pytest.raises(SpecError, match=r"group 0 has model.* where the stopped run had model.*must be the same"):
        loop_of(Own(turned), llama()).load_state_dict(state)
    with pytest.raises(SpecError, match="the groups are others"):
        loop_of(Own(lambda tensors, _: [{"params": tensors[:3]}, {"params": tensors[3:]}]), llama()).load_state_dict(
            state
        )


def test_rates_by_layer_alone_and_on_lora(llama) -> None:
    for stack in (LayerRates(), Stack([build_method("lora"), LayerRates()])):
        model = stack.attach(llama())
        rates = {name: group.lr for group in groups_of(stack, model, TrainSpec(lr=0.4)) for name in group.names}
        for name, rate in rates.items():
            assert rate == {"0": 0.2}.get(next((p for p in name.split(".") if p.isdigit()), ""), 0.4), name
