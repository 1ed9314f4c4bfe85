"""Steps with weights that are divided (``train.shard: full``), among all GPUs that there are; on a CPU between two.

On one GPU too, which then holds all parts: what gathers and casts them is the same.

    torchrun --nproc-per-node 2 scripts/gpu_shard.py DEVICE FOLDER     what each of the processes does
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from gpu_steps import LORA, PRECISIONS, Steps, base, one_order, taken

ROOT = Path(__file__).resolve().parent.parent
METHODS: dict[str, dict[str, Any]] = {"seq": {}, "lora": LORA}
MOST = 8
"""GPUs at most: as many as a step has rows."""


def steps(method: str) -> Steps:
    """Return the steps that are taken, whole and divided."""
    return Steps(method, METHODS[method])


def processes(device: str) -> int:
    """Return among how many processes weights are divided here."""
    return min(MOST, torch.cuda.device_count()) if device == "cuda" else 2


@cache
def divided(device: str, deadline: float) -> Path:
    """Have all steps taken with divided weights by ``deadline``; return the folder that has what they came to.

    Raises:
        TimeoutError: There is no time for it.
        RuntimeError: The processes failed; it has their last words.
    """
    folder = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes(device)), __file__]
    with (folder / "said").open("w+", encoding="utf-8") as said:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [sys.executable, *words, device, str(folder)],
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        try:
            code = process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.terminate()  # torchrun ends what it started
            process.wait()
            raise TimeoutError from None
    if code:
        raise RuntimeError(f"exit code {code}\n{(folder / 'said').read_text(encoding='utf-8')[-4000:]}")
    return folder


def main(device: str, folder: Path) -> None:
    """Take all steps as one of the processes; the first one writes what they came to."""
    import torch.distributed as dist

    from secura_bench.training.processes import count, is_main, join
    from secura_bench.training.sharding import shard

    base()  # while each process is alone: of those that have met, transformers lets one write
    if count() == 1:
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
    join()
    for method in METHODS:
        for precision in PRECISIONS:
            with one_order():
                done = taken(steps(method), precision, device, divide=shard)
            if is_main():
                torch.save(vars(done), folder / f"{method}-{precision}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
