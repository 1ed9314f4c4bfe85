"""What methods tell a plan of their costs, against what they do: forwards, kept weights, anchors and where they lie."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import example

from secura_bench.data.collate import collate
from secura_bench.estimates.formulas import count_on_shape, training_flops
from secura_bench.estimates.memory import Scoring, memory_of
from secura_bench.methods.build import build_method
from secura_bench.models.load import shape_of
from secura_bench.spec.sections import TrainSpec

RANKS = {"r": 4, "m": 6}
SCORING = Scoring(1, 64, 16, 0, ("teacher_forced",))


@pytest.mark.parametrize(
    ("name", "options", "forwards"),
    [("seq", {}, 1), ("lora", {}, 1), ("i_lora", {"consistency": "logits"}, 2), ("secura", RANKS, 1), ("ewc", {}, 1)],
)
def test_relative_work_is_of_the_forwards_that_a_step_makes(
    llama: Any, name: str, options: dict[str, Any], forwards: int
) -> None:
    """A row's training is a forward and a backward of about twice its work, or of as much beside frozen weights."""
    method = build_method(name, **options)
    model = method.attach(llama())
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    method.loss(model, collate([example(9, 2, seed=0)], pad_id=0))
    assert len(calls) == forwards
    assert method.footprint().relative_work == 1 + (forwards - 1) / 2
    shape, train = shape_of("tiny"), TrainSpec()
    plain = training_flops(shape, train, False, build_method("lora").footprint())
    assert training_flops(shape, train, False, method.footprint()) == plain * method.footprint().relative_work


def kept_by_autograd(method: Any, model: torch.nn.Module) -> int:
    """Return the scalars of h×d matrices that a forward keeps for the backward pass and that are no parameters."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    shapes = {tuple(p.shape) for name, p in model.named_parameters() if "proj.base.weight" in name}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in own and {tuple(tensor.shape), tuple(tensor.shape)[::-1]} & shapes:
            kept[pointer] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        method.loss(model, collate([example(7, 2, seed=0)], pad_id=0))
    return sum(tensor.numel() for tensor in kept.values())


@pytest.mark.parametrize(
    ("options", "each"),
    [
        ({"fusion_step": 20}, 2),
        ({"merge": "none"}, 2),
        ({}, 0),
        ({"fusion_step": 20, "signorm": "off"}, 0),
        ({"fusion_step": 20, "signorm": "public_code"}, 0),
    ],
)
def test_kept_weights_are_those_that_autograd_keeps(llama: Any, options: dict[str, Any], each: int) -> None:
    """W_updated and Res of every adapted module, 32×32 and 16×32 in each of two layers; else nothing."""
    method = build_method("secura", **RANKS, **options)
    model = method.attach(llama())
    adapted = 32 * 32 + 16 * 32
    assert method.footprint().kept_weights == each
    in_the_first = max(0, each - 1)  # nothing below it has a gradient, so its W_updated is not asked for again
    assert kept_by_autograd(method, model) == (each + in_the_first) * adapted


@pytest.mark.parametrize(
    ("options", "on_device", "on_host"),
    [
        ({}, 8, 0),
        ({"dtype": "bf16"}, 4, 0),
        ({"device": "cpu"}, 0, 8),
        ({"device": "cpu", "dtype": "bf16"}, 0, 4),
    ],
)
def test_anchors_take_what_their_tensors_take(
    llama: Any, examples: Any, options: Any, on_device: int, on_host: int
) -> None:
    """F and θ*: bytes of each trained scalar, where they lie."""
    from secura_bench.data.example import Task

    method, plain = build_method("ewc", fisher_samples=1, **options), build_method("seq")
    model = method.attach(llama())
    method.end_task(model, Task("task", 0, examples, 2))
    held = sum(t.nbytes for t in (*method.fisher.values(), *method.anchors.values()))
    count = method.count_parameters(model)
    footprint = method.footprint()
    assert footprint.held_memory(count) == (on_device * count.trainable, on_host * count.trainable)
    assert held == sum(footprint.held_memory(count))

    shape, train = shape_of("smollm2-135m"), TrainSpec(micro_batch_size=2)
    anchored, without = (
        memory_of(one, count_on_shape(one, shape), shape, train, SCORING, 16) for one in (footprint, plain.footprint())
    )
    assert (anchored.held, anchored.host) == (on_device * shape.parameters, on_host * shape.parameters)
    assert (
        anchored.activations > without.activations
    )  # the pull's own, which tests/estimates/test_plan_memory.py measures
    assert anchored.gradients == without.gradients == 4 * shape.parameters
