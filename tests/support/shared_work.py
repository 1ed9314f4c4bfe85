"""What each of two processes does of works that they share, written to a folder: started by tests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from secura_bench.foundation.errors import DataError
from secura_bench.training.processes import everywhere, is_for_all, join, on_main, place
from secura_bench.training.shares import do_shares


def works(own: list[int], meet: Callable[[], None] | None = None) -> Iterator[int]:
    """Yield one's works, which take a while; after the first, ``meet`` something."""
    for work in own:
        yield work
        time.sleep(0.02)
        if meet is not None:
            meet()


def share_work(folder: Path) -> None:
    """Share works in peace, and then such as one process cannot go on with."""
    join()
    here, _ = place()

    def fail() -> None:
        raise DataError("no second one")

    def run_out() -> None:
        raise torch.OutOfMemoryError("full")

    said = []
    for meet, count in ((None, 3 + here), (fail, 100), (run_out, 100)):
        mine = works([1000 * here + n for n in range(count)], meet if here else None)
        got: list[int] = []
        try:
            do_shares(mine, got.append, lambda: None)
            ended = ""
        except Exception as error:
            ended = f"{type(error).__name__}: {error}{' for all' if is_for_all(error) else ''}"
        said.append([got, ended])
    whole = [on_main(lambda: here), everywhere(lambda: here)]
    (folder / f"{here}.json").write_text(json.dumps({"shared": said, "whole": whole}))
