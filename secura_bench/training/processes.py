"""Several processes doing one run (torchrun): all train and score, the first alone locks, writes and prints."""

from __future__ import annotations

import datetime
import os
import pickle
import traceback
from collections.abc import Callable
from typing import Any, TypeVar, cast

from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.wording import first_line, in_a_line

T = TypeVar("T")

MEETING = datetime.timedelta(minutes=5)
"""How long the processes of a run wait for each other at the start."""

# One that is done waits for those that are not, however long that takes; one that dies closes its connections, and
# that ends the wait at once.
_PATIENCE = datetime.timedelta(days=7)

_JOINED = False

_FOR_ALL = "of all processes"

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
    """Refuse an environment that names other processes, and does not say how to find them, or where they are missing.

    Raises:
        BenchError: Names the variable, and the way out.
    """
    if "WORLD_SIZE" not in os.environ and {"ACCELERATE_USE_CPU", "MASTER_ADDR"} <= os.environ.keys():
        raise BenchError(
            "accelerate launch started one process, and --num_processes says more: it starts several on GPUs alone, or "
            "with --multi_gpu. On CPUs: torchrun --nproc-per-node 2 -m secura_bench run SPEC."
        )
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
    global _JOINED
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
    _JOINED = True


def together() -> bool:
    """Return whether several processes that have met do this run; where nobody joined, each is alone."""
    return _JOINED and count() > 1


def place() -> tuple[int, int]:
    """Return this process's number, from 0, and how many do the run together."""
    return (_number("RANK", 0, 0), count()) if together() else (0, 1)


def on_main(work: Callable[[], T]) -> T:
    """Do ``work`` in the first process alone. Return its result, or raise its error, in every process."""
    if not together():
        return work()
    from accelerate.utils import broadcast_object_list

    result = everywhere(lambda: work() if is_main() else None)
    outcome: list[Any] = [result]
    broadcast_object_list(outcome)
    return cast(T, outcome[0])


def everywhere(work: Callable[[], T]) -> T:
    """Do ``work`` in every process. Return each one's own result; an error of one is raised in every process."""
    try:
        result = work()
    except Exception as error:
        agree(error)
        raise
    agree(None)
    return result


def agree(error: Exception | None) -> None:
    """Raise in every process the ``error`` that one of them has; do nothing if none has any. All must call it.

    Of several errors it is the first process's, and of running out of memory, which can be tried again, only where
    there is no other. Where a process has the same one itself, it raises its own, which knows from where it came.
    """
    if not together():
        if error is not None:
            raise error
        return
    import torch

    told = "" if error is None else "".join(traceback.format_exception(error))
    met = [(e, text, at) for at, (e, text) in enumerate(gather((_sendable(error), told))) if e is not None]
    if not met:
        return
    first, text, at = min(met, key=lambda each: isinstance(each[0], torch.OutOfMemoryError))
    if error is not None and (at == place()[0] or (type(error), str(error)) == (type(first), str(first))):
        first = error
    else:
        first.__cause__ = _ElsewhereError(text)
    vars(first)[_FOR_ALL] = True
    raise first


def is_for_all(error: Exception) -> bool:
    """Return whether every process raised this error, each at the same place of its work: all may go on from there."""
    return not together() or _FOR_ALL in vars(error)


class _ElsewhereError(Exception):
    """How an error looked in the process that met it."""

    def __str__(self) -> str:
        return f"in another process of the run:\n{self.args[0]}"


def _sendable(error: Exception | None) -> Exception | None:
    """Return ``error``, or what it says where it cannot be sent: some cannot be made again from their arguments."""
    try:
        return cast("Exception | None", pickle.loads(pickle.dumps(error)))  # noqa: S301 - our own
    except Exception:
        return BenchError(in_a_line(cast(Exception, error)))


def gather(value: T) -> list[T]:
    """Return every process's ``value``, in the order of processes, in every one."""
    if not together():
        return [value]
    from accelerate.utils import gather_object

    return list(gather_object([value]))
