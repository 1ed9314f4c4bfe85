"""A plan's peak of memory held against what CUDA's allocator says, on models of real shapes with random weights.

Nothing is fetched: shapes are those of ``models/presets.yaml``. Each point attaches its method and trains by the
bench's own loop, as in ``measure_plan.py``. Measured is ``torch.cuda.max_memory_allocated``, the most bytes that all
tensors had at once; the plan's sum is held against it without the context, which is measured apart.
"""

from __future__ import annotations

import gc
import statistics
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import torch
from gpu_few_bits import hold
from measure_plan import LIMIT, Point, stages, train_of

CONTEXT, STEPS = 600, 6
"""Tokens of a row, as in the paper's specs, and optimizer steps a task, of which the first warms up."""

LARGE: dict[str, Any] = {"precision": "bf16_stochastic", "gradient_checkpointing": True}


def point(
    method: str, size: str, batch: int = 1, tasks: int = 1, bits: Literal[4, 8] | None = None, **train: Any
) -> Point:
    """Return a point of whole rows, half of whose tokens are answers."""
    options = train.pop("options", {})
    settings = {"steps": STEPS, "precision": "bf16", **train}
    return Point(method, size, batch, CONTEXT, options, settings, tasks, CONTEXT // 2, bits)


ON_FEW_BITS = {"boundary": "continue"}

POINTS = (
    point("lora", "llama3-8b"),
    point("secura", "llama3-8b", options={"r": 150, "m": 200}),
    point("seq", "qwen2-1.5b"),
    point("seq", "llama3-8b", **LARGE),
    point("lora", "llama3-8b", bits=4, options=ON_FEW_BITS),
    point("secura", "llama3-8b", bits=4, options={"r": 150, "m": 200}),
    point("lora", "llama3-8b", 4, kernels="chunked"),
    point("lora", "llama3-8b", 4, offload="activations"),
    point("dora", "llama3-8b"),
    point("base", "llama3-8b", 16),
    point("lora", "llama3-8b", 4),
    point("cur_lora", "llama3-8b", options={"r": 150}),
    point("secura", "llama3-8b", options={"r": 150, "m": 200, "fusion_step": 20}),
    point("lora", "llama3-8b", bits=8, options=ON_FEW_BITS),
    point("ewc", "qwen2-1.5b", tasks=2, options={"fisher_samples": 2, "fisher_dtype": "bf16"}),
    point("i_lora", "llama3-8b"),
    point("cabr_lora", "llama3-8b"),
    point("lora", "llama3-8b", 8, gradient_checkpointing=True),
    point("lora", "gemma2-2b", 2),
    point("seq", "qwen2-1.5b", 4, **LARGE),
    point("ewc", "qwen2-1.5b", tasks=2, options={"fisher_samples": 2}),
    point("er", "qwen2-1.5b", tasks=2),
)
"""What is measured, the most telling first: where time or memory does not do for all, the last are left out."""


def results(deadline: float, device: str, after: int = 0) -> Iterator[dict[str, Any]]:
    """Yield a result for each point that there is time and memory for until ``deadline`` (``time.monotonic``).

    Before them comes what a process takes with nothing loaded, which a plan adds to every sum. ``after`` so many
    results; the first failure is the last result, for CUDA may be of no use to this process any more.
    """
    if device != "cuda":
        yield {"name": "forecast", "skipped": "no CUDA device; scripts/measure_plan.py measures on a CPU"}
        return
    if not after:
        yield {"name": "context", **context()}
    longest = 15.0
    for chosen in POINTS[max(0, after - 1) :]:
        if time.monotonic() + longest > deadline:
            yield {"name": chosen.name, "skipped": "no time left"}
            continue
        began = time.monotonic()
        found = held(chosen, torch.device(device))
        yield found
        if "error" in found:
            return
        longest = max(longest, time.monotonic() - began)


def context() -> dict[str, Any]:
    """Return the bytes that this process takes on the device beside its tensors, after a product, and the plan's."""
    from secura_bench.estimates.memory import PROCESS

    matrix = torch.ones(1024, 1024, device="cuda", dtype=torch.bfloat16)
    free_before, _ = torch.cuda.mem_get_info()
    (matrix @ matrix).sum().item()
    free, total = torch.cuda.mem_get_info()
    return {
        "measured": total - free - torch.cuda.memory_reserved(),
        "forecast": PROCESS,
        "workspace": torch.cuda.memory_allocated() - 2 * matrix.numel(),
        "first_product": free_before - free,
        "note": "measured counts other processes on the device too, so it is an upper bound",
    }


def held(chosen: Point, device: torch.device) -> dict[str, Any]:
    """Return a point's forecast, its measured peak by stage, and seconds a step; a failure is in ``error``."""
    from secura_bench.models.quantised import missing_package
    from secura_bench.spec.loading import LoadSpec

    found: dict[str, Any] = {"name": chosen.name, "forecast": forecast(chosen), "bound": LIMIT}
    need = found["forecast"]["total"]
    if chosen.bits:
        if reason := missing_package(LoadSpec(bits=chosen.bits)):
            return {**found, "skipped": reason}
        whole = forecast(replace(chosen, bits=None))  # as it is made
        need = max(need, whole["weights"] + whole["process"])
    if device.type == "cuda" and need > torch.cuda.mem_get_info()[1]:
        return {**found, "skipped": f"{need / 2**30:.0f} GiB are needed, more than the device has"}
    try:
        found |= measured(chosen, device)
    except Exception as error:
        traceback.clear_frames(error.__traceback__)
        return {**found, "error": "".join(traceback.format_exception(error))}
    finally:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    peak = max(found["stages"].values())
    ratio = (found["forecast"]["total"] - found["forecast"]["process"]) / peak if peak else None
    return {**found, "measured": peak, "ratio": ratio, "within": ratio is not None and abs(ratio - 1) <= LIMIT}


def forecast(chosen: Point) -> dict[str, float]:
    """Return a plan's peak in bytes, whole and in its parts, as it says them for a GPU."""
    from secura_bench.estimates.formulas import count_on_shape, restricted
    from secura_bench.estimates.memory import PROCESS, Scoring, memory_of
    from secura_bench.methods.build import build_method
    from secura_bench.models.load import shape_of, shapes_of
    from secura_bench.spec.loading import LoadSpec

    shape, train = shape_of(chosen.size), train_of(chosen)
    if shape is None:
        raise TypeError(f"{chosen.size}'s layout is known")
    footprint = build_method(chosen.method, **chosen.options).footprint()
    scoring = Scoring(chosen.batch, chosen.context, chosen.answers, 0, ("teacher_forced",))
    count = restricted(count_on_shape(footprint, shape, lambda: shapes_of(chosen.size)), shape, train)
    load = LoadSpec(bits=chosen.bits)
    memory = memory_of(footprint, count, shape, train, scoring, chosen.answers, chosen.tasks, on_gpu=True, load=load)
    parts = {name: float(getattr(memory, name)) for name in MEMORY}
    return {"total": memory.device, "process": float(PROCESS), **parts}


MEMORY = ("weights", "gradients", "optimizer", "activations", "held", "host", "apart")


def measured(chosen: Point, device: torch.device) -> dict[str, Any]:
    """Return the peaks of a point's stages in bytes, its seconds a step, tokens a second and operations a second."""
    from secura_bench.estimates.formulas import training_flops
    from secura_bench.methods.build import build_method
    from secura_bench.models.load import shape_of
    from secura_bench.training.precision import new_accelerator, weights_dtype

    train = train_of(chosen)
    peaks: dict[str, int] = {}
    moments: list[float] = []
    losses: list[float] = []
    before, reserved = (torch.cuda.memory_allocated() if device.type == "cuda" else 0), 0

    def on_step(report: Any) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()
        moments.append(time.perf_counter())
        losses.append(report.loss)

    torch.manual_seed(0)
    accelerator = new_accelerator(train.precision, cpu=device.type == "cpu")
    began = time.perf_counter()
    model = random_model(chosen.size, train.precision, device)
    if chosen.bits:
        hold(model, chosen.bits, weights_dtype(train.precision))
    built = time.perf_counter() - began
    reset(device)
    for stage in stages(chosen, model, accelerator, on_step):
        peaks[stage] = max(peaks.get(stage, 0), peak(device))
        reserved = max(reserved, torch.cuda.max_memory_reserved() if device.type == "cuda" else 0)
        reset(device)
    found: dict[str, Any] = {"stages": peaks, "reserved": reserved, "before": before, "seconds_to_build": built}
    if not moments:
        return found
    footprint, shape = build_method(chosen.method, **chosen.options).footprint(), shape_of(chosen.size)
    one_task = moments[: train.steps]
    step = statistics.median(after - before for before, after in pairwise(one_task))
    tokens = chosen.batch * chosen.context * footprint.relative_rows
    flops = training_flops(shape, train, chosen.method in EVERYTHING, footprint) if shape else 0.0
    speed = {"seconds_a_step": step, "tokens_a_second": tokens / step, "operations_a_second": tokens * flops / step}
    return {**found, **speed, "first_loss": losses[0], "last_loss": losses[-1]}


EVERYTHING = ("seq", "mtl", "ewc", "er")


def random_model(size: str, precision: Any, device: torch.device) -> Any:
    """Return a preset's model with random weights, made on ``device`` in the dtype that a run loads."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from secura_bench.models.load import presets
    from secura_bench.training.precision import weights_dtype

    preset = presets()[size]
    if preset.family is None or preset.shape is None:
        raise TypeError(f"{size} is a preset of the Hub, with its shape")
    config = AutoConfig.for_model(preset.family, **preset.shape)
    # Versions of transformers before 5.23 would leave Gemma 2's cap of attention out, which no other kernel has.
    eager = {"attn_implementation": "eager"} if preset.family == "gemma2" else {}
    with device:
        return AutoModelForCausalLM.from_config(config, dtype=weights_dtype(precision), **eager).eval()


def peak(device: torch.device) -> int:
    """Return the most bytes that tensors had since ``reset``; of a CPU nothing is known."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def reset(device: torch.device) -> None:
    """Forget the peak until now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
