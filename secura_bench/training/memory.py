"""How much memory a run needed at its peak."""

from __future__ import annotations

import contextlib
import gc
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@contextmanager
def set_aside() -> Iterator[None]:
    """Within this context ``release_memory`` looks at what was made in it alone.

    What was there before are libraries, hundreds of thousands of objects that stay, and that are slow to walk. Within
    another such context it does nothing.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def release_memory() -> None:
    """Give back memory that nothing refers to: between runs."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def release_all_memory() -> None:
    """Give back what nothing refers to, whenever it was made: after an operation that ran out of memory."""
    gc.unfreeze()
    release_memory()


def reset_peak_memory(device: torch.device) -> None:
    """Forget the peak of earlier runs of this process, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR_REFS.exists():
        with contextlib.suppress(OSError):
            _CLEAR_REFS.write_text("5")


def peak_memory(device: torch.device) -> int:
    """Return the run's peak in bytes: of the device on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
        if found:
            return int(found.group(1)) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
