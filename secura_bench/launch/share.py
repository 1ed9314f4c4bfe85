"""How several runs at once share a machine: its GPUs, the CPU's cores and its memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from secura_bench.estimates.device import Device
from secura_bench.foundation.errors import BenchError, unknown_name
from secura_bench.spec.experiment import ExperimentSpec


def gpus_of(text: str) -> tuple[str, ...]:
    """Return the GPUs that ``--gpus`` names, as ``CUDA_VISIBLE_DEVICES`` has them.

    Raises:
        BenchError: There is none, one is not there, or one is named twice.
    """
    import torch

    if not torch.cuda.is_available():
        raise BenchError(f"--gpus {text}: there is no CUDA device here; --jobs N does N runs at once on the CPU.")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
    wanted = there if text == "all" else [each.strip() for each in text.split(",")]
    for gpu in wanted:
        if gpu not in there:
            raise BenchError(f"--gpus {text}: {unknown_name('GPU', gpu, there)}")
    if len(set(wanted)) < len(wanted):
        raise BenchError(f"--gpus {text}: names a GPU twice; each does one run at a time.")
    return tuple(wanted)


def share_threads(specs: Sequence[ExperimentSpec], runs: int) -> tuple[list[ExperimentSpec], int | None]:
    """Return the specs with the cores shared among so many ``runs``, and how many each gets.

    A spec that says how many threads its runs have keeps them; the number is None where all do.
    """
    if all(spec.threads for spec in specs):
        return list(specs), None
    threads = max(1, (os.cpu_count() or 1) // runs)
    return [spec if spec.threads else spec.model_copy(update={"threads": threads}) for spec in specs], threads


def share_of(device: Device, runs: int) -> Device:
    """Return what each of so many ``runs`` on a device has of its memory."""
    return replace(device, memory=device.memory / runs, host=device.host / runs)
