"""Every registered method on CUDA, run whole on the shipped tiny model and held against the same runs on a CPU.

The runs of a side are one command in a process of its own, and all sides go at once. Whatever is random in them is
drawn on the CPU (dropout is off), so that sides differ by arithmetic alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

SPEC = """\
experiment: gpu-check
mode: sequence
model: tiny
tasks: [tiny_group, tiny_count]
probe: tiny_f_task
probe_rows: 24
methods:
  - base
  - {name: seq, train: {lr: 1.0e-4}}
  - {name: mtl, train: {lr: 1.0e-4}}
  - {name: lora, dropout: 0.0}
  - {name: dora, dropout: 0.0}
  - {name: peft, label: adalora, peft_type: adalora, config: {init_r: 3, target_r: 2, tinit: 1, tfinal: 1, deltaT: 2,
     total_step: 12}}
  - {name: cur_lora, r: 16}
  - {name: cabr_lora, r: 16, m: 32}
  - {name: secura, label: secura, r: 16, m: 32}
  - {name: secura, label: secura-fusion, r: 16, m: 32, merge: m2, fusion_step: 3}
  - {name: i_lora}
  - {name: o_lora, r: 4, dropout: 0.0}
  - {name: ewc, fisher_samples: 4, train: {lr: 1.0e-4}}
  - {name: lwf, train: {lr: 1.0e-4}}
  - {name: l2_sp, train: {lr: 1.0e-4}}
  - {name: kl_to_base, train: {lr: 1.0e-4}}
  - {name: er, capacity: 8, train: {lr: 1.0e-4}}
  - {name: der, capacity: 8, train: {lr: 1.0e-4}}
  - {name: a_gem, capacity: 8, train: {lr: 1.0e-4}}
  - {name: gem, capacity: 8, margin: 0, train: {lr: 1.0e-4}}  # a margin would jump where g_k · g is near zero
  - {name: ema, decay: 0.8, train: {lr: 1.0e-4}}
  - {stack: [{name: lora, dropout: 0.0}, {name: ewc, fisher_samples: 4}, er]}
train: {lr: 1.0e-3, steps: 8, batch_size: 4, precision: PRECISION}
evaluate: {protocols: [teacher_forced, choice, generate], limit: 12, batch_size: 32}
data: {rows: 120}
keep: nothing
threads: 1
"""

SIDES = {"cpu fp32": "fp32", "cpu bf16": "bf16", "cuda fp32": "fp32", "cuda bf16": "bf16", "cuda bf16 again": "bf16"}
"""Where and in which precision the spec is run; in a second process again, to see whether numbers repeat."""

BOUNDS = {
    ("cuda fp32", "cpu fp32"): {"loss": 0.002, "text": 0.95},
    ("cuda bf16", "cpu fp32"): {"loss": 0.03, "text": 0.8},
    ("cuda bf16", "cpu bf16"): {"loss": 0.03, "text": 0.8},
    ("cpu bf16", "cpu fp32"): {"loss": 0.03, "text": 0.8},
}
"""How far two sides may be apart: their mean losses after each task, |ours − theirs| / (1 + theirs) at most, and the
least share of rows that get the same generated text. ``docs/gpu.md`` has the reasons."""


def results(deadline: float, device: str) -> Iterator[dict[str, Any]]:
    """Yield a result for each method and pair of sides, all runs done by ``deadline`` (``time.monotonic``)."""
    sides = [side for side in SIDES if device == "cuda" or side.startswith("cpu")]
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        running = {side: start(side, Path(folder)) for side in sides}
        late = set()
        for side, process in running.items():
            try:
                _, errors = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                _, errors = process.communicate()
                late.add(side)
            found: dict[str, Any] = {"name": side, "seconds": time.monotonic() - began}
            if side in late:
                yield {**found, "skipped": "no time left for all its runs"}
            elif process.returncode:
                yield {**found, "error": errors[-2000:] + failures(Path(folder) / slug(side))}
            else:
                yield found
        runs = {side: read(Path(folder) / slug(side)) for side in sides}
    for (ours, theirs), bound in BOUNDS.items():
        if ours not in runs:
            yield {"name": f"{ours} against {theirs}", "skipped": "no CUDA device"}
            continue
        for label in sorted(runs[ours].keys() | runs[theirs].keys()):
            found = {"name": f"{label}: {ours} against {theirs}"}
            lacking = [side for side in (ours, theirs) if label not in runs[side]]
            if lacking and late.issuperset(lacking):
                yield {**found, "skipped": "no time left"}
            elif lacking:
                yield {**found, "error": f"there is no record of it by {' and '.join(lacking)}"}
            else:
                yield {**found, "bound": bound, **compared(runs[ours][label], runs[theirs][label], bound)}
    if "cuda bf16" in runs:
        once, again = runs["cuda bf16"], runs["cuda bf16 again"]
        equal = [label for label in once if label in again and once[label]["scores"] == again[label]["scores"]]
        yield {"name": "cuda bf16 twice", "equal": equal, "different": sorted(set(once) - set(equal))}


def failures(results: Path) -> str:
    """Return the ends of the tracebacks of runs that failed."""
    return "".join(
        f"\n{path.parent.name}: {path.read_text(encoding='utf-8')[-1500:]}"
        for path in sorted(results.glob("gpu-check/*/traceback.txt"))
    )


def start(side: str, folder: Path) -> subprocess.Popen[str]:
    """Begin the runs of a side; on the CPU no CUDA device is seen."""
    spec = folder / f"{slug(side)}.yaml"
    spec.write_text(SPEC.replace("PRECISION", SIDES[side]), encoding="utf-8")
    command = [sys.executable, "-m", "secura_bench", "run", str(spec), "--results", str(folder / slug(side)), "--quiet"]
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if side.startswith("cpu") else {}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **hidden},
    )


def slug(side: str) -> str:
    """Return a side's name as a file's."""
    return side.replace(" ", "-")


def read(results: Path) -> dict[str, Any]:
    """Return the runs of a results folder by their methods' labels: scores, texts, cost, status."""
    from secura_bench.results.folder import RECORD

    runs = {}
    for path in sorted(results.glob(f"gpu-check/*/{RECORD}")):
        record = json.loads(path.read_text(encoding="utf-8"))
        texts = {
            file.relative_to(path.parent / "evals").as_posix()[5:]: [
                json.loads(line)["prediction"] for line in file.open()
            ]
            for file in sorted(path.parent.glob("evals/*/generate/**/*.texts.jsonl"))
        }
        kept = {key: record[key] for key in ("scores", "status", "cost", "notes")}
        runs[record["method"]["label"]] = {**kept, "texts": texts}
    return runs


def compared(ours: Any, theirs: Any, bound: dict[str, float]) -> dict[str, Any]:
    """Return how far two runs of a method are apart: in loss, in points of accuracy, and in what they wrote."""

    def values(run: Any, metric: str) -> dict[tuple[Any, ...], float]:
        return {
            (score["after"], score["step"], score["role"], score["protocol"], score["task"]): score["values"][metric]
            for score in run["scores"]
            if score["values"].get(metric) is not None
        }

    def pairs(metric: str) -> list[tuple[float, float]]:
        first, second = values(ours, metric), values(theirs, metric)
        return [(first[key], second[key]) for key in first.keys() & second.keys()]  # a start may be scored or not

    written = [
        pair
        for name in ours["texts"].keys() & theirs["texts"].keys()
        for pair in zip(ours["texts"][name], theirs["texts"][name], strict=True)
    ]
    loss = max((abs(a - b) / (1 + b) for a, b in pairs("loss")), default=None)
    text = sum(a == b for a, b in written) / len(written) if written else None
    whole = ours["status"] == theirs["status"] == "done"
    return {
        "loss": loss,
        "accuracy": max((abs(a - b) for a, b in pairs("accuracy")), default=None),
        "text": text,
        "evaluations": len(pairs("loss")),
        "rows": len(written),
        "device": ours["cost"]["device"],
        "seconds": ours["cost"]["train_seconds"],
        "peak": ours["cost"]["peak_memory"],
        "within": whole and loss is not None and text is not None and loss <= bound["loss"] and text >= bound["text"],
    }
