"""Several processes doing one run (torchrun): the first alone locks, writes, scores and prints."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from typing import Any, TypeVar

from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.wording import first_line

T = TypeVar("T")

MEETING = datetime.timedelta(minutes=5)
"""How long the processes of a run wait for each other at the start."""

# The others wait while the first one scores, however long that takes; one that dies closes its connections, and that
# ends the wait at once.
_PATIENCE = datetime.timedelta(days=7)

_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def is_main() -> bool:
    """Return whether this is the first process, or the only one. The environment tells, not torch."""
    return os.environ.get("RANK", "0") == "0" or count() == 1


def count() -> int:
    """Return the number of processes that do this run together.

    Raises:
        BenchError: ``WORLD_SIZE`` is no such number.
    """
    return _number("WORLD_SIZE", 1, 1)


def check_launch() -> None:
    """Refuse an environment that names other processes, and does not say how to find them.

    Raises:
        BenchError: Names the variable, and the way out.
    """
    if count() == 1:
        return
    for name in _NEEDED:
        if not os.environ.get(name):
            raise BenchError(f"WORLD_SIZE is {count()}, and {name} is not set. {_WAY_OUT}")
    for name in ("RANK", "LOCAL_RANK"):
        if _number(name, 0, 0) >= count():
            raise BenchError(
                f"{name} is {os.environ[name]}, and WORLD_SIZE is {count()}: ranks are below it. {_WAY_OUT}"
            )
    _number("MASTER_PORT", 0, 0)


_WAY_OUT = (
    "torchrun sets all of them: torchrun --nproc-per-node 2 -m secura_bench run SPEC; for one process alone, unset "
    "WORLD_SIZE."
)


def _number(name: str, default: int, least: int) -> int:
    """Return a variable of the environment as a number."""
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise BenchError(f"{name} is {text!r}, and must be a whole number, {least} or more. {_WAY_OUT}")
    return int(text)


def join() -> None:
    """Let the processes that torchrun started find each other; alone, do nothing.

    Raises:
        BenchError: The environment does not say where they are, or one does not come.
    """
    if count() == 1:
        return
    check_launch()
    import torch
    import torch.distributed as dist
    from accelerate import PartialState
    from torch.distributed.rendezvous import rendezvous

    on_gpu = torch.cuda.is_available()
    if not dist.is_initialized():
        try:
            store, rank, size = next(rendezvous("env://", timeout=MEETING))
        except (RuntimeError, ValueError, OSError) as error:
            minutes = MEETING.total_seconds() / 60
            where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            raise BenchError(
                f"not all of the {count()} processes of this run met at {where} within {minutes:g} minutes "
                f"({first_line(error)}). {_WAY_OUT}"
            ) from None
        backend = "nccl" if on_gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
    PartialState(cpu=not on_gpu)  # without a GPU accelerate counts one process, unless it is told


def on_main(work: Callable[[], T]) -> T:
    """Do ``work`` in the first process alone. Return its result, or raise its error, in every process."""
    if count() == 1:
        return work()
    from accelerate.utils import broadcast_object_list

    outcome: list[Any] = [None, None]
    if is_main():
        try:
            outcome[0] = work()
        except Exception as error:
            outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def gather(value: T) -> list[T]:
    """Return every process's ``value``, in the order of processes, in every one."""
    if count() == 1:
        return [value]
    from accelerate.utils import gather_object

    return list(gather_object([value]))
