"""What only a GPU shows, in ten minutes: methods against the CPU, options, memory, tests, speed.

    python scripts/gpu_check.py                   on CUDA where there is a device, else what a CPU can do of it
    python scripts/gpu_check.py --budget 420      in so many seconds: what does not fit is left out, and said
    python scripts/gpu_check.py --out FOLDER      where gpu_check.json and gpu_check.md go; default: here

Each part is a process of its own, so that one that crashes leaves the others alone; what it found stays in the JSON,
which is written anew after every single result. The exit code is 1 where anything failed or is out of its bounds.
``docs/gpu.md`` has the bounds and their reasons.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MARK = "@result "
"""What a part's result lines begin with; whatever else it prints is passed on."""

GRACE = 20.0
"""Seconds that a part may take beyond its time before it is killed."""


@dataclass(frozen=True)
class Part:
    """A part of the check: ``least`` seconds are kept for it while those before it run; less, of a small budget."""

    name: str
    title: str
    least: float
    goes_on: bool = False
    """Whether it is taken up again after a failure, which ends its process."""


PARTS = (
    Part("environment", "The machine", 15),
    Part("runs", "Every method on CUDA against the CPU", 60),
    Part("options", "Each option beside the same steps without it", 60, goes_on=True),
    Part("memory", "Peak memory against the plan's forecast", 90, goes_on=True),
    Part("tests", "The tests marked gpu", 60),
    Part("speed", "Speed", 25),
)


def results(part: str, deadline: float, device: str, after: int) -> Iterator[dict[str, Any]]:
    """Yield the results of a part, all by ``deadline``; ``after`` so many, of one that is taken up again."""
    if part == "environment":
        from gpu_environment import results as environment

        yield environment(device)
    elif part == "runs":
        from gpu_runs import results as runs

        yield from runs(deadline, device)
    elif part == "options":
        from gpu_options import results as options

        yield from options(deadline, device, after)
    elif part == "memory":
        from gpu_memory import results as memory

        yield from memory(deadline, device, after)
    elif part == "tests":
        from gpu_tests import results as tests

        yield from tests(deadline)
    else:
        from gpu_speed import results as speed

        yield from speed(deadline, device)


def do(part: Part, seconds: float, device: str, keep: Any) -> None:
    """Do a part in a process of its own, in at most ``seconds``; ``keep`` gets each result.

    A process ends with its first failure, for after one CUDA may be of no use to it; the rest is another one's.
    """
    end, done = time.monotonic() + seconds, 0
    while True:
        left = end - time.monotonic()
        words = ["--part", part.name, "--seconds", str(left), "--device", device, "--after", str(done)]
        process = subprocess.Popen(
            [sys.executable, __file__, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"},
        )
        alarm = threading.Timer(left + GRACE, process.kill)
        alarm.start()
        tail: deque[str] = deque(maxlen=60)
        failed, before = False, done
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        for line in process.stdout:
            if line.startswith(MARK):
                found = json.loads(line[len(MARK) :])
                failed, done = "error" in found, done + 1
                keep(found)
            else:
                tail.append(line)
                print(f"    {line.rstrip()}", flush=True)
        alarm.cancel()
        if process.wait() != 0:
            late = " (killed: no time left)" if time.monotonic() > end else ""
            keep({"name": part.name, "error": f"exit code {process.returncode}{late}\n{''.join(tail)}"})
            done += 1
        elif not failed:
            return
        if not part.goes_on or done == before or end - time.monotonic() < 30:
            return


def check(budget: float, out: Path, device: str) -> dict[str, Any]:
    """Do all parts in ``budget`` seconds and return what they found, which is in ``out`` after each result."""
    began = time.monotonic()
    found: dict[str, Any] = {"program": "secura-bench gpu-check", "device": device, "budget": budget, "parts": {}}
    share = min(1.0, budget / 2 / sum(part.least for part in PARTS))
    for position, part in enumerate(PARTS):
        kept: list[dict[str, Any]] = []
        found["parts"][part.name] = {"title": part.title, "results": kept}
        later = share * sum(part.least for part in PARTS[position + 1 :])
        seconds = budget - (time.monotonic() - began) - later
        print(f"{part.title} (at most {seconds:.0f} s)", flush=True)

        def keep(result: dict[str, Any], kept: list[dict[str, Any]] = kept) -> None:
            kept.append(result)
            spent = time.monotonic() - began
            found["seconds"] = spent
            gpu_page.write(found, out)
            print(f"  {spent:5.0f} s of {budget:.0f}  {gpu_page.line(result)}", flush=True)

        if seconds < min(10.0, part.least):
            keep({"name": part.name, "skipped": "no time left"})
            continue
        start = time.monotonic()
        try:
            do(part, seconds, device, keep)
        except Exception as error:
            keep({"name": part.name, "error": repr(error)})
        found["parts"][part.name]["seconds"] = time.monotonic() - start
    gpu_page.write(found, out)
    return found


def main() -> None:
    """Do the check, or a part of it for the process that does."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budget", type=float, default=600, metavar="SECONDS", help="how long it may take")
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where the JSON and the page go")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--device", help=argparse.SUPPRESS)
    parser.add_argument("--after", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        for result in results(args.part, time.monotonic() + args.seconds, args.device, args.after):
            print(f"{MARK}{json.dumps(result)}", flush=True)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    found = check(args.budget, args.out, has_cuda())
    print(f"{gpu_page.summary(found)}\n{args.out / gpu_page.PAGE}", flush=True)
    sys.exit(1 if gpu_page.is_bad(found) else 0)


def has_cuda() -> str:
    """Return "cuda" where there is such a device, else "cpu"; asked in a process that ends with it."""
    code = "import torch; print(torch.cuda.is_available())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return "cuda" if done.stdout.split()[-1] == "True" else "cpu"


if __name__ == "__main__":
    main()
