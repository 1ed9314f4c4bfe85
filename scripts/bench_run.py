"""What a run costs beside the work itself: against a bare PyTorch loop, when it resumes, and in memory over tasks.

On SmolLM2-135M-Instruct and real rows where SECURA_BENCH_SMOLLM2 and SECURA_BENCH_DATA name them, else on the tiny
model that ships with the package.

    python scripts/bench_run.py [--repeats N] [--steps N]
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from secura_bench.data.collate import collate
from secura_bench.evaluation.evaluate import evaluate
from secura_bench.models.load import load_model
from secura_bench.plan.make import Plan, make_plan
from secura_bench.plan.phases import training_phases
from secura_bench.runs.execute import execute
from secura_bench.runs.session import Session
from secura_bench.runs.stopping import Stopped
from secura_bench.spec.load import load_spec
from secura_bench.training.loop import TrainingLoop
from secura_bench.training.memory import peak_memory
from secura_bench.training.precision import prepare_training
from secura_bench.training.seeds import seed_everything

REAL = bool(os.environ.get("SECURA_BENCH_SMOLLM2") and os.environ.get("SECURA_BENCH_DATA"))
SPEC = f"""\
experiment: bench
mode: sequence
model: {os.environ["SECURA_BENCH_SMOLLM2"] if REAL else "tiny"}
tasks: {"[absnarr, objcount]" if REAL else "tiny"}
probe: {"f_task" if REAL else "tiny_f_task"}
probe_rows: {12 if REAL else 60}
methods: [METHOD]
train: {{lr: 1.0e-4, steps: STEPS, batch_size: 8}}
evaluate: {{protocols: [teacher_forced], limit: 10, tasks: current, batch_size: 8}}
data: {{rows: 200}}
keep: nothing
threads: {torch.get_num_threads()}
"""


def plan_of(folder: Path, method: str, steps: int) -> Plan:
    """Return a plan of the base and one run."""
    path = folder / "spec.yaml"
    path.write_text(SPEC.replace("METHOD", method).replace("STEPS", str(steps)))
    return make_plan(load_spec(str(path)))


def timed_run(plan: Plan, results: Path) -> float:
    """Return the seconds that the plan's second run takes, its folder, log, checkpoints and record included."""
    began = time.perf_counter()
    outcome = execute([plan], results, progress="quiet", only=[plan.runs[1].name])
    if outcome.failed or outcome.held:  # less than the work is no time of the work
        raise RuntimeError(f"the run was not done: {outcome}")
    return time.perf_counter() - began


def bare(plan: Plan) -> float:
    """Return the seconds of the same work in a bare loop: the same rows, the same scores, nothing written down."""
    run, inputs = plan.runs[1], plan.inputs
    began = time.perf_counter()
    seed_everything(run.seed, run.threads)
    method = run.build()
    model = method.attach(load_model(inputs.model))
    prepare_training(model, run.train)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=run.train.pace(run.tasks[0]).lr
    )
    size, context = run.spec.evaluate.batch_size, run.spec.data.context
    for task, stream, steps in training_phases(run, inputs, method):
        model.train()
        for _ in range(steps):
            rows = [task.train[i] for i in stream.draw(run.train.batch_size)]
            loss = method.loss(model, collate(rows, inputs.chat.pad_id))
            (loss.sum / loss.tokens).backward()
            optimizer.step()
            optimizer.zero_grad()
            method.after_step(model, optimizer)
        method.end_task(model, task)
        for name, examples in (*inputs.probe.items(), (task.name, inputs.test[task.name])):
            evaluate("teacher_forced", model, inputs.tasks[name].file, examples, inputs.chat, size, context)
    return time.perf_counter() - began


def timed_resume(plan: Plan, results: Path) -> tuple[float, float]:
    """Return the seconds of a run that a signal stops half-way and that is then resumed, and of the resumed part."""
    inner, calls = TrainingLoop._accumulate, 0
    rows = {name: len(plan.inputs.tasks[name].train) for name in plan.runs[1].tasks}
    half = sum(plan.runs[1].steps(rows)) // 2

    def counted(self: TrainingLoop, examples: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == half:
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(self, examples)

    TrainingLoop._accumulate = counted  # type: ignore[method-assign]
    began = time.perf_counter()
    try:
        timed_run(plan, results)
    except Stopped:
        stopped = time.perf_counter() - began
    finally:
        TrainingLoop._accumulate = inner  # type: ignore[method-assign]
    resumed = timed_run(plan, results)
    return stopped + resumed, resumed


def memory_by_task(folder: Path, method: str) -> list[int]:
    """Return this process's peak memory in bytes after each of sixteen tasks."""
    plan = plan_of(folder, method, 4)
    times = 16 // len(plan.runs[1].tasks)
    run = replace(plan.runs[1], tasks=plan.runs[1].tasks * times)
    peaks: list[int] = []
    inner = Session._score

    def noted(self: Session) -> None:
        inner(self)
        peaks.append(peak_memory(torch.device("cpu")))

    Session._score = noted  # type: ignore[method-assign]
    try:
        execute([replace(plan, runs=(run,))], folder / "results", progress="quiet")
    finally:
        Session._score = inner  # type: ignore[method-assign]
    return peaks[-16:]


def report(what: str, ratio: float, goal: str, detail: str) -> None:
    """Print one line."""
    print(f"{what:<58} {ratio:8.3f}   goal {goal:<8} {detail}", flush=True)


def main() -> None:
    """Print every ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40 if REAL else 150)
    args = parser.parse_args()
    print(f"{'SmolLM2-135M' if REAL else 'tiny'}, steps of 8 rows, {torch.get_num_threads()} threads")
    for method in ("lora", "seq"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            plan = plan_of(folder, method, args.steps)
            ours, theirs, again, tails = [], [], [], []
            bare(plan_of(folder, method, 2))  # warm
            for turn in range(args.repeats):
                theirs.append(bare(plan))
                ours.append(timed_run(plan, folder / f"whole-{turn}"))
                both, tail = timed_resume(plan, folder / f"cut-{turn}")
                again.append(both)
                tails.append(tail)
        whole, loop, cut = statistics.median(ours), statistics.median(theirs), statistics.median(again)
        report(f"{method}: run / bare PyTorch loop", whole / loop, "<= 1.05", f"{whole:.2f} s / {loop:.2f} s")
        report(f"{method}: stopped half-way and resumed / in one go", cut / whole, "", f"{cut:.2f} s / {whole:.2f} s")
    for method in ("secura", "ewc", "er"):
        with tempfile.TemporaryDirectory() as name:
            peaks = memory_by_task(Path(name), "{name: secura, r: 16, m: 32}" if method == "secura" else method)
        detail = f"{peaks[15] / 2**20:.0f} MiB / {peaks[1] / 2**20:.0f} MiB"
        report(f"{method}: peak memory at task 16 / at task 2", peaks[15] / peaks[1], "<= 1.02", detail)


if __name__ == "__main__":
    main()
