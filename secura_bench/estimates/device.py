"""The machine that a plan is for: how much its device holds, and how fast it multiplies."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import psutil
import torch

from secura_bench.training.processes import count

EFFICIENCY = 0.4
"""Share of a plain matrix product's speed that training reaches: a guess, which a trial replaces."""

TOLERANCE = 1.25
"""Up to this much above what is free a run is tried: the estimate is no better than that."""


@dataclass(frozen=True)
class Device:
    """Where runs would go.

    ``memory``: bytes free. ``rate``: operations a second of a matrix product, of one thread where it is a CPU.
    """

    name: str
    memory: float
    rate: float
    host: float
    """Bytes free in the CPU's memory, where what is held there goes; on a CPU the same memory."""

    processes: int = 1
    """How many processes do a run together, each on such a device."""

    @property
    def is_cpu(self) -> bool:
        """Whether the device is the CPU."""
        return self.name == "cpu"

    def speed(self, threads: int) -> float:
        """Return the operations a second of a run with so many threads."""
        return self.rate * threads if self.is_cpu else self.rate


A_LARGE_GPU = Device("80 GB GPU", 80e9, 300e12, 256e9)
"""What the paper's runs need: a card with 80 GB, at 300 TFLOP/s in bf16 (assumed), in a machine with 256 GB."""


def this_device() -> Device:
    """Return the device that runs started now would use; its speed is measured once, in a fifth of a second."""
    host = float(psutil.virtual_memory().available)
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return Device(torch.cuda.get_device_name(), float(free), _rate("cuda", 8192, torch.bfloat16), host, count())
    return Device("cpu", host, _rate("cpu", 512, torch.float32), host, count())


@cache
def _rate(kind: str, size: int, dtype: torch.dtype) -> float:
    """Return the operations a second of size³ products: the fastest of those that fit, after one to warm up.

    By one thread: where other runs share the machine, several wait for each other a hundred times as long as they
    multiply, and one is undisturbed now and then.
    """
    matrix = torch.ones(size, size, device=kind, dtype=dtype)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    took: list[float] = []
    while sum(took) < 0.2 or len(took) < 2:
        began = time.perf_counter()
        (matrix @ matrix).sum().item()
        took.append(time.perf_counter() - began)
    torch.set_num_threads(threads)
    return 2 * size**3 / min(took[1:])
