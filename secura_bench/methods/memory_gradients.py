"""Gradients on rows of a memory, made in ``Method.after_backward`` beside the step's own.

Every process makes them of the same rows, with the same random numbers, so that gradients that are the same in all
processes stay so. They go through the model as a step's rows do: in train mode, a micro-batch at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secura_bench.data.example import Example
from secura_bench.methods.ewc import trained
from secura_bench.methods.method import StepContext
from secura_bench.models.head import answer_logits

Gradient = dict[str, Tensor]
"""Gradients by name of the trained parameter; of one that no row reached there is none."""

Cost = Callable[[Tensor, Tensor, Sequence[Example]], Tensor]
"""What a micro-batch costs, from its logits (N, vocabulary), its answer tokens (N,) and its rows; a sum over tokens."""


def gradient_on(
    model: nn.Module,
    rows: Sequence[Example],
    step: StepContext,
    generator: random.Random,
    cost: Cost | None = None,
) -> Gradient:
    """Return the gradient of the mean of ``cost`` over the answer tokens of ``rows``: without one, of cross-entropy.

    The gradients that the parameters carry are left alone, and so are the process's random numbers: dropout has its
    own, from ``generator``.
    """
    parameters = trained(model)
    tokens = sum(row.supervised for row in rows)
    gradient: Gradient = {}
    device = next(iter(parameters.values())).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(generator.getrandbits(63))
        for part in step.parts(rows):
            batch = step.collate(part)
            logits = answer_logits(model, batch).float()
            total = (
                F.cross_entropy(logits, batch.targets, reduction="sum")
                if cost is None
                else cost(logits, batch.targets, part)
            )
            found = torch.autograd.grad(total / tokens, list(parameters.values()), allow_unused=True)
            for name, new in zip(parameters, found, strict=True):
                if new is not None:
                    gradient[name] = new if name not in gradient else gradient[name].add_(new)
    return gradient


def own_gradient(model: nn.Module) -> Gradient:
    """Return the gradients that the trained parameters carry: the very tensors."""
    return {name: p.grad for name, p in trained(model).items() if p.grad is not None}


@torch.no_grad()
def add_to_own(model: nn.Module, gradient: Gradient, times: float) -> None:
    """Add ``times`` · ``gradient`` to what the trained parameters carry."""
    parameters = trained(model)
    for name, values in gradient.items():
        own = parameters[name].grad
        parameters[name].grad = times * values if own is None else own.add_(values, alpha=times)


@torch.no_grad()
def inner(a: Gradient, b: Gradient) -> float:
    """Return the inner product of two gradients, each as one vector, summed in fp64."""
    shared = (name for name in a if name in b)
    return sum(float((a[name].float() * b[name].float()).sum(dtype=torch.float64)) for name in shared)
