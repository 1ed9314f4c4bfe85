"""What options cost in numbers on this device: a few steps under each beside the same steps without it.

All is computed in one order, so that what is to agree bit for bit can. What each option promises is in
``docs/options-cost.md``, and the reasons of the bounds are in ``docs/gpu.md``.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Literal

import torch
from gpu_steps import LORA, PRECISIONS, Steps, Taken, one_order, taken, train_of

PLAIN = Steps()
Bounds = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Pair:
    """An option's steps and those that they are held against: how far apart at most, by precision.

    Of the losses it is |ours − theirs| / (1 + theirs), of each step's gradient ‖ours − theirs‖ / ‖theirs‖; without a
    bound every bit of both, and of the weights, is to be the same.
    """

    name: str
    ours: Steps
    theirs: Steps = PLAIN
    bounds: Bounds | None = None


def bounds(fp32: tuple[float, float], bf16: tuple[float, float]) -> Bounds:
    """Return bounds of loss and gradient by precision."""
    return {name: {"loss": loss, "gradient": grad} for name, (loss, grad) in zip(PRECISIONS, (fp32, bf16), strict=True)}


def in_few_bits(bits: Literal[4, 8], found: Bounds) -> Pair:
    """Return steps on a base in few bits, and on whole weights that are what those stand for."""
    ours, theirs = (Steps("lora", LORA, bits=bits, unpacked=unpacked) for unpacked in (False, True))
    return Pair(f"model_load: {{bits: {bits}}} against what they stand for", ours, theirs, found)


EWC = {"fisher_samples": 4, "lambda": 1e4}
IN_BF16 = (0.001, 0.05)
ANOTHER_ORDER = bounds((1e-5, 1e-4), IN_BF16)
ROUNDED = bounds((1e-4, 1e-3), IN_BF16)
INPUTS_IN_8_BITS = bounds((0.01, 0.15), (0.01, 0.15))
FISHER_IN_BF16 = bounds((1e-4, 2**-7), IN_BF16)

PAIRS = (
    Pair("the same again", PLAIN),
    Pair("gradient_checkpointing: true", Steps(train={"gradient_checkpointing": True})),
    Pair("offload: activations", Steps(train={"offload": "activations"})),
    Pair("kernels: chunked", Steps(train={"kernels": "chunked"}), bounds=ANOTHER_ORDER),
    Pair("micro_batch_size: auto", Steps(train={"micro_batch_size": "auto"}), bounds=ANOTHER_ORDER),
    Pair("kernels: liger", Steps(train={"kernels": "liger"}), bounds=ROUNDED),
    Pair(
        "ewc, fisher_dtype: bf16",
        Steps("ewc", {**EWC, "fisher_dtype": "bf16"}, tasks=2),
        Steps("ewc", EWC, tasks=2),
        FISHER_IN_BF16,
    ),
    in_few_bits(4, ROUNDED),
    in_few_bits(8, INPUTS_IN_8_BITS),
)


def results(deadline: float, device: str, after: int = 0) -> Iterator[dict[str, Any]]:
    """Yield a result for each option and precision that there is time for until ``deadline`` (``time.monotonic``).

    ``after`` so many results; the first failure is the last, for CUDA may be of no use to this process any more.
    """
    from gpu_generation import generated
    from gpu_shard import METHODS

    asked: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    for pair, precision in product(PAIRS, PRECISIONS):
        asked.append((f"{pair.name}, {precision}", partial(held, pair, precision, device)))
    for precision in PRECISIONS:
        asked.append((f"generation, {precision}", partial(generated, precision, device)))
    for method, precision in product(METHODS, PRECISIONS):
        asked.append((f"shard: full, {method}, {precision}", partial(in_parts, method, precision, device, deadline)))
    longest = 10.0
    for name, work in asked[after:]:
        began = time.monotonic()
        if began + longest > deadline:
            yield {"name": name, "skipped": "no time left"}
            continue
        try:
            found = work()
        except TimeoutError:
            found = {"skipped": "no time left"}
        except Exception:
            yield {"name": name, "error": traceback.format_exc()}
            return
        yield {"name": name, "seconds": time.monotonic() - began, **found}
        longest = max(longest, time.monotonic() - began)


def held(pair: Pair, precision: str, device: str) -> dict[str, Any]:
    """Return how far apart a pair's steps are, or why they cannot be taken here."""
    if reason := missing(pair.ours, device):
        return {"skipped": reason}
    with one_order():
        ours, theirs = (taken(steps, precision, device) for steps in (pair.ours, pair.theirs))
    return apart(ours, theirs, pair.bounds[precision] if pair.bounds else None)


def in_parts(method: str, precision: str, device: str, deadline: float) -> dict[str, Any]:
    """Return how far apart the steps of a method are, taken with divided weights and with whole ones."""
    import gpu_shard

    ours = Taken(**torch.load(gpu_shard.divided(device, deadline) / f"{method}-{precision}.pt"))
    with one_order():
        theirs = taken(gpu_shard.steps(method), precision, device)
    return {**apart(ours, theirs, ANOTHER_ORDER[precision]), "processes": gpu_shard.processes(device)}


def missing(steps: Steps, device: str) -> str | None:
    """Return what steps need and this machine has not, if anything."""
    from secura_bench.models.quantised import missing_package
    from secura_bench.spec.loading import LoadSpec
    from secura_bench.training.kernels import missing_kernels

    if steps.train.get("offload") and device == "cpu":
        return "on a CPU nothing is copied"
    return missing_kernels(train_of(steps, "fp32")) or missing_package(LoadSpec(bits=steps.bits))


def apart(ours: Taken, theirs: Taken, bound: Mapping[str, float] | None) -> dict[str, Any]:
    """Return how far apart steps are, and whether that is within ``bound``: every bit the same, where there is none."""
    pairs = list(zip(ours.gradients, theirs.gradients, strict=True))
    losses = torch.tensor([ours.losses, theirs.losses], dtype=torch.float64)
    found = {
        "loss": float(((losses[0] - losses[1]).abs() / (1 + losses[1].abs())).max()),
        "gradient": float(torch.stack([(a - b).norm() / b.norm() for a, b in pairs]).max()),  # NaN stays NaN
    }
    same = ours.losses == theirs.losses and torch.equal(ours.weights, theirs.weights)
    same = same and all(torch.equal(a, b) for a, b in pairs)
    within = same if bound is None else all(found[key] <= most for key, most in bound.items())
    return {**found, "bound": bound, "same": same, "within": within}
