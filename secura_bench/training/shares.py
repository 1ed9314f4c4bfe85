"""Work that the processes of a run divide: who does what of it, and how the first hears of it as it is done.

Each does its share at its own pace. What one has done it leaves at the store through which the processes met; the
first looks there between its own works. An error leaves a word there too, so that nobody goes on for nothing.
"""

from __future__ import annotations

import itertools
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from secura_bench.training.processes import agree, everywhere, is_main, together

T = TypeVar("T")

_TURN = 0.02  # seconds between two looks at what the others have done
_NUMBERS = itertools.count()


def deal(costs: Sequence[float], hands: int) -> list[list[int]]:
    """Return the positions of works, by what each costs, that each of ``hands`` does, in order.

    The costliest work first, each to who has least until then (LPT): who has most has at most 4/3 − 1/(3 hands) times
    what the best division gives them (Graham 1969).
    """
    dealt: list[list[int]] = [[] for _ in range(hands)]
    sums = [0.0] * hands
    for position in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = sums.index(min(sums))
        dealt[least].append(position)
        sums[least] += costs[position]
    return [sorted(mine) for mine in dealt]


def do_shares(share: Iterable[T], receive: Callable[[T], None], check: Callable[[], None]) -> None:
    """Do this process's ``share``; the first ``receive``s all results, of whatever process, as they come.

    ``check`` is called after each. What one process raises ends the shares of all, each after the result that it is
    at, and is raised in all of them; what was done by then is received.
    """
    if not together():
        for result in share:
            receive(result)
            check()
        return
    import torch
    import torch.distributed as dist
    from accelerate import PartialState

    words = _Words()
    met: Exception | None = None

    def attempt(work: Callable[[], None]) -> None:
        nonlocal met
        try:
            work()
        except Exception as error:
            if met is None:
                met = error
            words.halt()

    def own() -> None:
        for result in share:
            receive(result) if is_main() else words.leave(result)
            others()
            check()
            if words.halted():
                return

    def others() -> None:
        for result in words.left():
            receive(result)

    attempt(own)
    # A collective tells who is done, and not a word at the store: it ends when a process dies.
    done = dist.all_reduce(torch.zeros((), device=PartialState().device), async_op=True)
    while not done.is_completed():
        attempt(others)
        if met is None:
            attempt(check)
        time.sleep(_TURN)
    done.wait()
    attempt(others)
    agree(met)


def do_in_step(works: Iterable[T], receive: Callable[[T], None], check: Callable[[], None]) -> None:
    """Do all ``works`` in every process at once; the first ``receive``s the results.

    ``check`` is called after each. What it or ``receive`` raises in one process is raised in all, before the next work.
    """

    def take(result: T) -> None:
        if is_main():
            receive(result)
        check()

    for result in works:
        everywhere(partial(take, result))


class _Words:
    """What the processes tell each other about one work, at the store."""

    def __init__(self) -> None:
        import torch.distributed as dist

        # The one of the default group: whoever started that may have been another than ``join``.
        self._store: Any = dist.distributed_c10d._get_default_store()
        self._work = f"secura-bench/shares/{next(_NUMBERS)}"
        self._rank, self._heard = dist.get_rank(), dict.fromkeys(range(1, dist.get_world_size()), 0)
        self._said = 0

    def leave(self, result: Any) -> None:
        """Leave a result for the first process."""
        self._store.set(key := f"{self._work}/{self._rank}/{self._said}", pickle.dumps(result))
        self._store.check([key])  # which waits for the store, as setting does not
        self._said += 1

    def left(self) -> Iterator[Any]:
        """Yield what the others left since the last look; to the first process alone."""
        if self._rank:
            return
        for rank in self._heard:
            while self._store.check([key := f"{self._work}/{rank}/{self._heard[rank]}"]):
                self._heard[rank] += 1
                yield pickle.loads(self._store.get(key))  # noqa: S301 - a process of the same run put it there
                self._store.delete_key(key)

    def halt(self) -> None:
        """Say that all may stop."""
        self._store.set(f"{self._work}/halt", "")

    def halted(self) -> bool:
        """Return whether someone said so."""
        return bool(self._store.check([f"{self._work}/halt"]))
