"""Several processes doing one run (torchrun): the first alone locks, writes, scores and prints."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# The others wait while the first one scores, however long that takes.
_PATIENCE = datetime.timedelta(days=30)


def is_main() -> bool:
    """Return whether this is the first process, or the only one; asks the environment, not torch."""
    return os.environ.get("RANK", "0") == "0"


def count() -> int:
    """Return the number of processes that do this run together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join() -> None:
    """Let the processes that torchrun started find each other; alone, do nothing."""
    if count() > 1:
        from accelerate import PartialState

        PartialState(cpu=on_cpu(), timeout=_PATIENCE)


def on_cpu() -> bool:
    """Return whether several processes compute on CPUs: accelerate joins them there only if it is told so."""
    import torch

    return count() > 1 and not torch.cuda.is_available()


def on_main(work: Callable[[], T]) -> T:
    """Do ``work`` in the first process alone and return its result, or raise its error, in every one."""
    if count() == 1:
        return work()
    import torch.distributed as dist

    outcome: list[Any] = [None, None]
    if is_main():
        try:
            outcome[0] = work()
        except Exception as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def gather(value: T) -> list[T]:
    """Return every process's ``value``, in the order of processes, in every one."""
    if count() == 1:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value)
    return values
