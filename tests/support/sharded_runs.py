"""What each process of a run does whose weights are divided: started by a test, in a folder with a spec.

The run of ``ewc`` is stopped in its second task. What is there then is copied to ``../stopped``, and goes on here.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import torch.distributed as dist
from conftest import secura_bench

from secura_bench.training.loop import TrainingLoop


def do_sharded_runs(folder: Path) -> None:
    """Do the runs, and write how the commands ended."""
    rank = os.environ["RANK"]
    count, inner = itertools.count(1), TrainingLoop._accumulate

    def counted(self: TrainingLoop, examples: Any) -> Any:
        if next(count) == 7 and rank == "1":  # after the four steps of seq and two of its own
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(self, examples)

    TrainingLoop._accumulate = counted  # type: ignore[method-assign]
    ended = [secura_bench("run", "spec.yaml", cwd=folder)]
    if rank == "0":
        shutil.copytree(folder, folder.parent / "stopped")
    dist.barrier()
    ended.append(secura_bench("run", "spec.yaml", cwd=folder))
    (folder.parent / f"ended-{rank}.json").write_text(json.dumps([vars(done) for done in ended]))
