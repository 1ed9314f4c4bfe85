"""Simulated scores as the arms of a study: what a folder of records would give, without the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from worlds import Floats, Kind, Layout

from secura_bench.report.study.arms import Arm
from secura_bench.report.study.items import Items
from secura_bench.report.study.runs import Role, Run
from secura_bench.report.study.study import Study
from secura_bench.results.record import Cost, RunRecord, Score

PROBE = "probe"


@dataclass(frozen=True)
class At:
    """Where scores belong: on which rows, after which task of the sequence (None: before any), if by a ``protocol`` of
    their own by which.
    """

    role: Role
    task: str
    after: str | None
    protocol: str | None = None


Filed = Mapping[At, Mapping[str, Floats]]
"""Columns of seeds × items."""


@lru_cache(maxsize=64)
def _names(layout: Layout) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    groups = tuple(f"group {group}" for group in layout.groups) if layout.grouped else None
    return tuple(f"row {i}" for i in range(layout.n)), groups


def arm(method: str, sequence: tuple[str, ...], filed: Filed, layouts: Mapping[str, Layout], kind: Kind) -> Arm:
    """Return one method's arm: a run a seed, its items as if they had been read from its folder."""
    seeds = len(next(iter(next(iter(filed.values())).values())))
    runs = [_run(method, sequence, seed, filed, layouts, kind) for seed in range(seeds)]
    return Arm(method, method, sequence, tuple(runs))


def _run(
    method: str, sequence: tuple[str, ...], seed: int, filed: Filed, layouts: Mapping[str, Layout], kind: Kind
) -> Run:
    stages = [None, *sequence]
    scores, read = [], {}
    for at, columns in filed.items():
        mine = {name: values[seed] for name, values in columns.items()}
        stage, protocol = stages.index(at.after), at.protocol or kind.protocol
        score = Score.model_construct(
            stage=stage, after=at.after, step=10 if at.after else 0, finished=True, role=at.role,
            protocol=protocol, task=at.task, n=layouts[at.task].n, values=_means(mine),
        )  # fmt: skip
        scores.append(score)
        ids, groups = _names(layouts[at.task])
        read[stage, protocol, at.role, at.task] = Items(ids, (mine,), groups)
    run = Run(_record(method, sequence, seed, tuple(scores)))
    run._read.update(read)
    return run


def _means(columns: Mapping[str, Floats]) -> dict[str, float]:
    if "tokens" in columns:
        tokens = columns["tokens"].sum()
        return {"perplexity": float(np.exp((columns["loss"] * columns["tokens"]).sum() / tokens))}
    return {name: float(values.sum() / len(values)) for name, values in columns.items()}


def study(base: Arm | None, arms: list[Arm]) -> Study:
    """Return the study of these arms."""
    mode = "sequence" if all(len(arm.sequence) > 1 for arm in arms) else "separate"
    return Study("simulated", "toy", mode, PROBE, None, base, tuple(arms))  # type: ignore[arg-type]


def _record(method: str, sequence: tuple[str, ...], seed: int, scores: tuple[Score, ...]) -> RunRecord:
    return RunRecord.model_construct(
        version="0", name=f"{method}-{seed}", fingerprint="0" * 12, experiment="simulated",
        mode="sequence" if len(sequence) > 1 else "separate", status="done",
        model={"label": "toy", "identity": "toy"},
        method={"name": method, "label": method, "options": {}, "train": {}},
        tasks=sequence, probe=PROBE, probe_parts=(PROBE,), seed=seed, limit=None, parameters={}, data={},
        signatures={}, scores=scores, cost=Cost.model_construct(), finished_at="",
    )  # fmt: skip
