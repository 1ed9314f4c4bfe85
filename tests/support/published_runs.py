"""Records with given scores, as a report reads them, of any method, sequence and probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secura_bench.report.study.runs import Run
from secura_bench.results.record import RunRecord

Scored = Mapping[tuple[str | None, str], float]
"""Scores by the task trained last (None before training) and the task, or ``probe``, that is scored."""


def run_of(
    method: str,
    scores: Scored,
    tasks: tuple[str, ...],
    *,
    options: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    protocol: str = "generate",
    metric: str = "accuracy",
    probe_by: tuple[str, str] = ("perplexity", "perplexity"),
    probe: str = "tiny_text",
    rows: tuple[int, int] = (900, 100),
    **changes: Any,
) -> Run:
    """Return a run with these scores; of ``base`` they are at its only moment."""
    note = {
        "source": "test", "revision": None, "licence": "", "stand_in": None, "train_rows": rows[0],
        "test_rows": rows[1], "train_hash": "", "test_hash": "", "too_long": 0,
    }  # fmt: skip
    found = []
    for (after, task), value in scores.items():
        of_probe = task == "probe"
        by, of = probe_by if of_probe else (protocol, metric)
        stage = 0 if after is None else 1 + tasks.index(after)
        found.append({
            "stage": stage, "after": after, "step": 0 if after is None else 5, "finished": after is not None,
            "role": "probe" if of_probe else "task", "protocol": by, "task": probe if of_probe else task, "n": 100,
            "values": {of: value},
        })  # fmt: skip
    fields: dict[str, Any] = {
        "version": "0", "name": f"{method}-{len(tasks)}", "fingerprint": f"{method}{options}{train}",
        "experiment": "two", "mode": "sequence", "status": "done", "notes": (),
        "model": {"label": "tiny", "identity": "tiny"},
        "method": {"name": method, "label": method, "options": dict(options or {}), "train": dict(train or {})},
        "tasks": tasks, "probe": probe, "probe_parts": (probe,), "seed": 1, "limit": None, "precision": "fp32",
        "context": 600, "parameters": {}, "data": dict.fromkeys((*tasks, probe), note), "signatures": {},
        "scores": found, "finished_at": "2025-01-01T00:00:00+00:00",
        "cost": {"train_seconds": 0, "evaluate_seconds": 0, "tokens": 0, "peak_memory": 0, "device": "none"},
    }  # fmt: skip
    return Run(RunRecord.model_validate({**fields, **changes}))
