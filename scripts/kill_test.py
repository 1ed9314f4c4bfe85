"""Kills runs with SIGKILL, again and again, and demands the numbers of runs that nobody disturbed.

One small spec with full fine-tuning, EWC, replay, I-LoRA, SECURA and a stack is run once in peace. Then the same
command is given over and over, and each process is killed: at a named point (inside a step, between a boundary's
merge and its checkpoint, while a checkpoint or a record is half written, while predictions are) or at random. At the
end every file of every run must be the same, byte for byte, but for times and memory in records.

    python scripts/kill_test.py [--kills 20] [--seed 0]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

SPEC = """\
experiment: kill-test
mode: sequence
model: tiny
tasks: [tiny_group, tiny_count]
probe: tiny_f_task
probe_rows: 9
methods:
  - {name: seq, train: {lr: 1.0e-4}}
  - {name: ewc, fisher_samples: 4}
  - {name: er, capacity: 8, train: {sampling: epochs}}
  - {name: i_lora, consistency: hidden, r: 2}
  - {name: secura, r: 8, m: 16, merge: m2, fusion_step: 3}
  - {stack: [{name: lora, r: 2, dropout: 0.3}, {name: er, buffer: balanced, capacity: 6}]}
train: {lr: 1.0e-3, steps: 7, batch_size: 2}
evaluate: {protocols: [teacher_forced, generate], limit: 4, every: 4, batch_size: 2}
data: {rows: 60}
log: {every: 1, gradient_norms: true, weight_norms: true}
checkpoint: {every_steps: 2}
seeds: [1, 2]
threads: 1
"""
STEPS = 6 * 2 * 2 * 7
TIMES = ("cost.train_seconds", "cost.evaluate_seconds", "cost.peak_memory", "finished_at")
NAMED = ("training", "boundary", "half-saved", "unnamed", "outdated", "evaluating", "filing", "recording", "untidy")
POINTS = (*NAMED, "random")
LIBRARIES = (
    "secura_bench.runs.execute", "peft", "transformers.models.llama.modeling_llama", "nltk.translate.bleu_score",
)  # fmt: skip
"""What would take each process longer to import than all else that it does."""


def die() -> None:
    """End this process as a power cut would: no handler runs, no buffer is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, after: int, delay: float, steps: Path) -> None:
    """Make this process kill itself at ``point``, the ``after``-th time it gets there, and count its steps."""
    from secura_bench.evaluation.prediction_file import PredictionFile
    from secura_bench.results.folder import RECORD, RunFolder
    from secura_bench.runs import session
    from secura_bench.training import checkpoints
    from secura_bench.training.loop import TrainingLoop

    calls = itertools.count(1)

    def due(here: str) -> bool:
        return point == here and next(calls) == after

    def around(owner: Any, name: str, wrap: Callable[..., Callable[..., Any]]) -> None:
        setattr(owner, name, wrap(getattr(owner, name)))

    def accumulate(inner: Callable[..., Any]) -> Callable[..., Any]:
        def counted(self: TrainingLoop, examples: Any) -> Any:
            with steps.open("a") as stream:
                stream.write("1\n")
            if point == "random" and next(calls) == 1:
                threading.Timer(delay, die).start()
            found = inner(self, examples)
            if due("training"):  # gradients are there, weights not moved yet
                die()
            return found

        return counted

    def train(inner: Callable[..., Any]) -> Callable[..., Any]:
        def ended(self: Any) -> None:
            inner(self)
            if due("boundary"):
                die()

        return ended

    def save_tensors(inner: Callable[..., Any]) -> Callable[..., Any]:
        def halved(tensors: Any, path: Path) -> None:
            inner(tensors, path)
            if due("half-saved"):
                os.truncate(path, path.stat().st_size // 2)
                die()

        return halved

    def rename(inner: Callable[..., Any]) -> Callable[..., Any]:
        def renamed(self: Path, target: Path) -> Any:
            checkpoint = self.name == checkpoints._WRITING
            if checkpoint and due("unnamed"):
                die()
            found = inner(self, target)
            if checkpoint and due("outdated"):  # the new one stands, the old one is still there
                die()
            return found

        return renamed

    def append(inner: Callable[..., Any]) -> Callable[..., Any]:
        def torn(self: PredictionFile, batch: Any) -> None:
            inner(self, batch)
            if due("evaluating"):
                os.truncate(self.path, self.path.stat().st_size - 20)
                die()

        return torn

    def replace(inner: Callable[..., Any]) -> Callable[..., Any]:
        def replaced(self: Path, target: Path) -> Any:
            named = Path(target).name
            if (named == RECORD and due("recording")) or (named.endswith(".texts.jsonl") and due("filing")):
                die()
            return inner(self, target)

        return replaced

    def tidy(inner: Callable[..., Any]) -> Callable[..., Any]:
        def left(self: RunFolder) -> None:
            if due("untidy"):
                die()
            inner(self)

        return left

    around(TrainingLoop, "_accumulate", accumulate)
    around(session.Session, "_train", train)
    around(checkpoints, "save_tensors", save_tensors)
    around(PredictionFile, "append", append)
    around(Path, "rename", rename)
    around(Path, "replace", replace)
    around(RunFolder, "tidy", tidy)


def run(folder: Path, point: str, after: int, delay: float) -> tuple[int, int]:
    """Give the command in ``folder``, in a process of its own; return its exit code and how many steps it began."""
    steps, said = folder / "steps", folder / "said"
    steps.unlink(missing_ok=True)
    child = os.fork()  # of a process that has imported the libraries and done nothing with them
    if not child:
        be_armed(folder, point, after, delay)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"{point}: exit code {code}\n{said.read_text()}")
    return code, len(steps.read_text().split()) if steps.exists() else 0


def be_armed(folder: Path, point: str, after: int, delay: float) -> NoReturn:
    """Be the process that does the command in ``folder``, with a bomb in it; what it says goes to a file."""
    code: Any = 1
    os.chdir(folder)
    with Path("said").open("w", buffering=1) as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        try:
            arm(point, after, delay, folder / "steps")
            sys.argv = ["secura-bench", "run", "spec.yaml", "--quiet"]
            import_module("secura_bench.cli.main").main()
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else int(code is not None))


def files(folder: Path) -> dict[str, Any]:
    """Return everything below a results folder that must not differ, by path."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or path.suffix == ".lock":
            continue
        if path.name == "record.json":
            found[name] = without_times(json.loads(path.read_text()))
        elif path.name == "manifest.json":
            found[name] = sorted(json.loads(path.read_text()))
        else:
            found[name] = path.read_bytes()
    return found


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without what a second run of it may have another value of."""
    cost = {key: value for key, value in record["cost"].items() if f"cost.{key}" not in TIMES}
    return {**{key: value for key, value in record.items() if key not in TIMES}, "cost": cost}


def kill_test(work: Path, kills: int, seed: int, spec: str = SPEC, all_steps: int = STEPS) -> list[str]:
    """Do the whole test in an empty folder; return a line for each kill.

    The process must not have computed anything, as it is forked: a test calls this in one of its own.

    Raises:
        SystemExit: Something differs, is left over, or was done twice over; says what.
    """
    for name in LIBRARIES:
        import_module(name)
    peace, war = work / "peace", work / "war"
    for folder in (peace, war):
        folder.mkdir()
        (folder / "spec.yaml").write_text(spec)
    _, steps = run(peace, "never", 0, 0.0)
    if steps != all_steps:
        raise SystemExit(f"the undisturbed run took {steps} steps, not {all_steps}")
    chance = random.Random(seed)
    points = [POINTS[i % len(POINTS)] for i in range(kills)]
    chance.shuffle(points)
    lines = []
    for number, point in enumerate(points, 1):
        most = {"training": 5, "evaluating": 9, "filing": 9}.get(point, 2 if point != "half-saved" else 6)
        most = 1 if point in ("boundary", "recording", "untidy") else most
        after, delay = chance.randint(1, most), chance.uniform(0.0, 1.0)
        code, steps = run(war, point, after, delay)
        when = f"after {delay:.2f} s" if point == "random" else f"time {after}"
        if code == 0:
            raise SystemExit(f"kill {number} ({point}, {when}): the runs were over before; make the spec longer")
        if steps >= all_steps:
            raise SystemExit(f"kill {number} ({point}): {steps} steps of {all_steps}: nothing was resumed")
        lines.append(f"kill {number:>2}: {point:<10} {when:<12} {steps:>3} of {all_steps} steps done in that process")
        print(lines[-1], flush=True)
    code, steps = run(war, "never", 0, 0.0)
    if code or steps >= all_steps:
        raise SystemExit(f"the last process: exit code {code}, {steps} steps of {all_steps}")
    ours, theirs = files(peace / "results"), files(war / "results")
    if left := sorted(set(theirs) - set(ours)):
        raise SystemExit(f"left over: {', '.join(left)}")
    if differ := [name for name in ours if ours[name] != theirs.get(name)]:
        raise SystemExit(f"differ: {', '.join(differ)}")
    return lines


def main() -> None:
    """Run the test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        lines = kill_test(Path(work), args.kills, args.seed)
    print(f"{len(lines)} kills, the same numbers; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
